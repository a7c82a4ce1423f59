use obol_account::AccountNumber;
use obol_ledger::{Amount, Code, Why};
use obol_payment::{PackId, RuleId};
use rusqlite::{Row, Transaction, params};

use super::row::{blob_from, damaged, number_from, to_sql};
use super::{Books, Doing, passengers};
use crate::{FareApplied, Fault, Statement, StatementLine, StatementRefused};

/// The most lines one statement carries.
pub const STATEMENT_LINES_MAX: usize = 1000;

/// A wallet's movements: (at, why, reference, amount, fare_rule, fare_pack). Of a ride, what it is
/// charged now stands here and not how it came to that: which postings there were depends on who
/// uploaded first, and a statement must not. Parameters 1..=5: bucket, wallet code, owner, the
/// reason of a ride's charge and the last of those that change it.
const MOVEMENTS: &str = "
  SELECT t.event_at AS at, t.why AS why, g.source_key AS reference, t.amount AS amount,
         NULL AS fare_rule, NULL AS fare_pack
    FROM transfer t JOIN ledger_group g ON g.bucket = t.bucket AND g.id = t.group_id
   WHERE t.bucket = ?1 AND t.cr_code = ?2 AND t.cr_owner = ?3 AND t.why NOT BETWEEN ?4 AND ?5
  UNION ALL
  SELECT t.event_at, t.why, g.source_key, -t.amount, NULL, NULL
    FROM transfer t JOIN ledger_group g ON g.bucket = t.bucket AND g.id = t.group_id
   WHERE t.bucket = ?1 AND t.dr_code = ?2 AND t.dr_owner = ?3 AND t.why NOT BETWEEN ?4 AND ?5
  UNION ALL
  SELECT accepted_at, ?4, terminal || '/' || lower(hex(epoch)) || '/' || seq, -charged_minor,
         charged_rule, fare_pack
    FROM code_use
   WHERE payer_bucket = ?1 AND payer_code = ?2 AND payer_owner = ?3 AND charged = 1";

impl Books {
    /// The movements of a wallet from second `from` on and before second `until`, by time of the
    /// event, with the balance behind each.
    ///
    /// # Errors
    /// [`StatementRefused`] for an unknown account, a reversed period, or more lines than
    /// [`STATEMENT_LINES_MAX`].
    pub fn statement(
        &self,
        number: AccountNumber,
        from: u32,
        until: u32,
    ) -> Result<Statement, StatementRefused> {
        if until < from {
            return Err(StatementRefused::Period { from, until });
        }
        self.read("drawing up a statement", |transaction| {
            if passengers::find_by_number(transaction, number)?.is_none() {
                return Err(StatementRefused::UnknownAccount(number));
            }
            let period = (from, until);
            let order = "at, why, reference";
            let movements = movements(transaction, number, period, order)?;
            if movements.len() > STATEMENT_LINES_MAX {
                return Err(StatementRefused::TooLong(STATEMENT_LINES_MAX));
            }
            let opening = balance_before(transaction, number, from)?;
            Ok(self.drawn_up(number, opening, movements)?)
        })
    }

    /// The last movements of a wallet, at most [`STATEMENT_LINES_MAX`], with the balance behind
    /// each; the opening balance is the one before the first of them.
    ///
    /// # Errors
    /// [`StatementRefused::UnknownAccount`], or when storage fails.
    pub fn latest_statement(&self, number: AccountNumber) -> Result<Statement, StatementRefused> {
        self.read("drawing up a statement", |transaction| {
            if passengers::find_by_number(transaction, number)?.is_none() {
                return Err(StatementRefused::UnknownAccount(number));
            }
            let backwards = "at DESC, why DESC, reference DESC";
            let mut movements = movements(transaction, number, EVER, backwards)?;
            movements.truncate(STATEMENT_LINES_MAX);
            movements.reverse();
            let mut opening = balance_before(transaction, number, u32::MAX)?;
            for movement in &movements {
                opening = opening.minus(movement.amount).map_err(Fault::from)?;
            }
            Ok(self.drawn_up(number, opening, movements)?)
        })
    }

    fn drawn_up(
        &self,
        number: AccountNumber,
        opening: Amount,
        mut lines: Vec<StatementLine>,
    ) -> Result<Statement, Fault> {
        let mut closing = opening;
        for line in &mut lines {
            closing = closing.plus(line.amount)?;
            line.balance = closing;
        }
        Ok(Statement {
            number,
            currency: self.book.currency.to_string(),
            opening,
            lines,
            closing,
        })
    }
}

/// Every time before the last second of 32 bits.
const EVER: (u32, u32) = (0, u32::MAX);

fn balance_before(
    transaction: &Transaction<'_>,
    number: AccountNumber,
    from: u32,
) -> Result<Amount, Fault> {
    let sql = format!("SELECT COALESCE(SUM(amount), 0) FROM ({MOVEMENTS}) WHERE at < ?6");
    transaction
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement.query_row(
                params![
                    number.bucket().number(),
                    Code::Wallet.number(),
                    to_sql(number.get()),
                    Why::Ride.number(),
                    Why::RideAdjustment.number(),
                    from
                ],
                |row| row.get(0).map(Amount::from_minor),
            )
        })
        .doing("summing an opening balance")
}

/// The movements of the period, one more than a statement carries at most; their balances are not
/// known yet.
fn movements(
    transaction: &Transaction<'_>,
    number: AccountNumber,
    (from, until): (u32, u32),
    order: &'static str,
) -> Result<Vec<StatementLine>, Fault> {
    const DOING: &str = "reading movements";
    let sql = format!(
        "SELECT at, why, reference, amount, fare_rule, fare_pack FROM ({MOVEMENTS}) WHERE at >= ?6 AND at < ?7
         ORDER BY {order} LIMIT ?8"
    );
    let mut statement = transaction.prepare_cached(&sql).doing(DOING)?;
    let mut rows = statement
        .query(params![
            number.bucket().number(),
            Code::Wallet.number(),
            to_sql(number.get()),
            Why::Ride.number(),
            Why::RideAdjustment.number(),
            from,
            until,
            STATEMENT_LINES_MAX as i64 + 1,
        ])
        .doing(DOING)?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next().doing(DOING)? {
        let why: i64 = row.get(1).doing(DOING)?;
        lines.push(StatementLine {
            at: number_from("transfer", "event_at", row.get(0).doing(DOING)?)?,
            why: Why::from_number(number_from("transfer", "why", why)?)
                .ok_or_else(|| damaged("transfer", format_args!("why {why}")))?,
            amount: row.get(3).map(Amount::from_minor).doing(DOING)?,
            balance: Amount::ZERO,
            reference: row.get(2).doing(DOING)?,
            fare: fare_of(row)?,
        });
    }
    Ok(lines)
}

fn fare_of(row: &Row<'_>) -> Result<Option<FareApplied>, Fault> {
    const DOING: &str = "reading the rule of a fare";
    let (rule, pack): (Option<i64>, Option<Vec<u8>>) =
        (row.get(4).doing(DOING)?, row.get(5).doing(DOING)?);
    let (Some(rule), Some(pack)) = (rule, pack) else {
        return Ok(None);
    };
    Ok(Some(FareApplied {
        pack: PackId(blob_from("code_use", "fare_pack", pack)?),
        rule: RuleId(number_from("code_use", "charged_rule", rule)?),
    }))
}
