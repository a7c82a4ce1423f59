//! Uses of codes: which rides are charged, and which contest one another.

use obol_account::AccountNumber;
use obol_ledger::{Amount, Bucket, DayRule};
use obol_payment::ride::{
    Charge, Contest, Epoch, Fraud, RideKey, RideOrder, TerminalName, VerifiedRide,
};
use obol_payment::{CodeIdentity, UnixTime};
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};

use super::ledger::Poster;
use super::row::{account_id, account_number, blob_from, damaged, number_from, to_sql};
use super::{Doing, SqliteStore, outbox, passengers};
use crate::{Fault, FraudCase};

/// What `row_of_use` reads.
const USE_COLUMNS: &str = "accepted_at, terminal, epoch, seq, payer_bucket, payer_code, \
                           payer_owner, operator, amount_minor, charged";
/// The order of [`RideOrder`] in SQL: text and blobs compare bytewise, as in Rust.
const RIDE_ORDER: &str = "accepted_at, terminal, epoch, seq";

impl SqliteStore {
    /// The fraud cases, oldest credential pseudonyms first within their buckets.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn fraud_cases(&self) -> Result<Vec<FraudCase>, Fault> {
        const DOING: &str = "reading fraud cases";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT f.kind, f.cti, f.kid, f.contested, c.number, f.opened_at
                     FROM fraud_case f LEFT JOIN credential c
                       ON c.bucket = f.bucket AND c.cti = f.cti AND c.kid = f.kid
                     ORDER BY f.bucket, f.cti, f.kid, f.kind, f.contested",
                )
                .doing(DOING)?;
            let mut rows = statement.query([]).doing(DOING)?;
            let mut cases = Vec::new();
            while let Some(row) = rows.next().doing(DOING)? {
                cases.push(fraud_case(row)?);
            }
            Ok(cases)
        })
    }
}

fn fraud_case(row: &Row<'_>) -> Result<FraudCase, Fault> {
    const DOING: &str = "reading a fraud case";
    const TABLE: &str = "fraud_case";
    let kind: i64 = row.get(0).doing(DOING)?;
    let number: Option<i64> = row.get(4).doing(DOING)?;
    Ok(FraudCase {
        kind: Fraud::from_number(number_from(TABLE, "kind", kind)?)
            .ok_or_else(|| damaged(TABLE, format_args!("kind {kind}")))?,
        cti: blob_from(TABLE, "cti", row.get(1).doing(DOING)?)?,
        kid: blob_from(TABLE, "kid", row.get(2).doing(DOING)?)?,
        contested: row.get(3).doing(DOING)?,
        account: number
            .map(|number| account_number("credential", number))
            .transpose()?,
        opened_at: row.get(5).doing(DOING)?,
    })
}

/// Records the use of a code by a ride that is new, charges what has to be charged, takes back
/// what no longer has to be, and opens fraud cases.
pub(super) fn charge(
    transaction: &Transaction<'_>,
    poster: &mut Poster<'_>,
    ride: &VerifiedRide,
    day: DayRule,
    now: UnixTime,
) -> Result<(), Fault> {
    let code = CodeUses {
        transaction,
        code: ride.identity(),
        bucket: bucket_of(ride),
    };
    let same_code = code.first_with_identity()?;
    let same_counter = code.first_with_counter(ride.counter())?;
    let arriving: RideOrder = (ride.accepted_at(), ride.key().clone());
    let order_of = |known: &Option<KnownUse>| {
        known
            .as_ref()
            .map(|known| (known.charge.accepted_at, known.charge.key.clone()))
    };
    let (first_of_code, first_of_counter) = (order_of(&same_code), order_of(&same_counter));
    let contest = Contest {
        arriving: &arriving,
        same_code: first_of_code.as_ref(),
        same_counter: first_of_counter.as_ref(),
    };
    for displaced in contest.displaced() {
        let known = [&same_code, &same_counter].into_iter().flatten();
        for known in known
            .filter(|known| known.charge.key == displaced.1 && known.charged)
            .take(1)
        {
            code.mark_uncharged(&known.charge.key)?;
            post(poster, known.charge.reversal(day))?;
        }
    }
    let wallet = passengers::account_of_credential(transaction, code.code.kid, code.code.cti)?;
    let charge = Charge::of(ride, wallet.map(AccountNumber::wallet));
    code.insert(ride, &charge, contest.is_charged())?;
    if contest.is_charged() {
        post(poster, charge.group(day))?;
    }
    code.open_cases(ride.counter(), same_code.is_some(), now)
}

fn post(poster: &mut Poster<'_>, group: Option<obol_ledger::Group>) -> Result<(), Fault> {
    match group {
        Some(group) => poster.post(&group),
        None => Ok(()),
    }
}

fn bucket_of(ride: &VerifiedRide) -> Bucket {
    Bucket::of_bytes(&ride.identity().cti.0)
}

/// The rows of `code_use` around one code.
struct CodeUses<'t> {
    transaction: &'t Transaction<'t>,
    code: CodeIdentity,
    bucket: Bucket,
}

struct KnownUse {
    charge: Charge,
    charged: bool,
}

impl CodeUses<'_> {
    fn first_with_identity(&self) -> Result<Option<KnownUse>, Fault> {
        let sql = format!(
            "SELECT {USE_COLUMNS} FROM code_use
             WHERE bucket = ?1 AND cti = ?2 AND kid = ?3 AND iat = ?4 AND nonce = ?5
             ORDER BY {RIDE_ORDER} LIMIT 1"
        );
        self.first(&sql, &[&self.code.issued_at.0, &self.code.nonce.0])
    }

    fn first_with_counter(&self, counter: u32) -> Result<Option<KnownUse>, Fault> {
        let sql = format!(
            "SELECT {USE_COLUMNS} FROM code_use
             WHERE bucket = ?1 AND cti = ?2 AND kid = ?3 AND counter = ?4
             ORDER BY {RIDE_ORDER} LIMIT 1"
        );
        self.first(&sql, &[&counter])
    }

    fn first(&self, sql: &str, rest: &[&dyn ToSql]) -> Result<Option<KnownUse>, Fault> {
        const DOING: &str = "looking for uses of a code";
        let bucket = self.bucket.number();
        let mut parameters: Vec<&dyn ToSql> = vec![&bucket, &self.code.cti.0, &self.code.kid.0];
        parameters.extend(rest);
        let mut statement = self.transaction.prepare_cached(sql).doing(DOING)?;
        let mut rows = statement.query(parameters.as_slice()).doing(DOING)?;
        rows.next().doing(DOING)?.map(row_of_use).transpose()
    }

    fn insert(&self, ride: &VerifiedRide, charge: &Charge, charged: bool) -> Result<(), Fault> {
        self.transaction
            .prepare_cached(
                "INSERT INTO code_use (bucket, cti, kid, iat, nonce, terminal, epoch, seq, counter,
                   accepted_at, payer_bucket, payer_code, payer_owner, operator, amount_minor,
                   fare_rule, fare_pack, charged)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                   ?17, ?18)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    self.bucket.number(),
                    self.code.cti.0,
                    self.code.kid.0,
                    self.code.issued_at.0,
                    self.code.nonce.0,
                    charge.key.terminal.as_str(),
                    charge.key.epoch.0,
                    to_sql(charge.key.seq),
                    ride.counter(),
                    charge.accepted_at.0,
                    charge.payer.bucket.number(),
                    charge.payer.code.number(),
                    to_sql(charge.payer.owner),
                    charge.operator,
                    charge.amount.minor(),
                    ride.fare().rule.0,
                    ride.fare().pack_id.0,
                    charged,
                ])
            })
            .doing("recording the use of a code")?;
        Ok(())
    }

    fn mark_uncharged(&self, ride: &RideKey) -> Result<(), Fault> {
        self.transaction
            .execute(
                "UPDATE code_use SET charged = 0 WHERE bucket = ?1 AND cti = ?2 AND kid = ?3
                   AND terminal = ?4 AND epoch = ?5 AND seq = ?6",
                params![
                    self.bucket.number(),
                    self.code.cti.0,
                    self.code.kid.0,
                    ride.terminal.as_str(),
                    ride.epoch.0,
                    to_sql(ride.seq)
                ],
            )
            .doing("taking a charge back")?;
        Ok(())
    }

    fn open_cases(&self, counter: u32, used_before: bool, now: UnixTime) -> Result<(), Fault> {
        if used_before {
            let nonce = self.code.nonce.0.map(|byte| format!("{byte:02x}")).concat();
            self.open_case(
                Fraud::SecondUse,
                &format!("{}/{nonce}", self.code.issued_at),
                now,
            )?;
        }
        if self.counter_has_another_code(counter)? {
            self.open_case(Fraud::CounterReuse, &counter.to_string(), now)?;
        }
        Ok(())
    }

    fn counter_has_another_code(&self, counter: u32) -> Result<bool, Fault> {
        let found: Option<i64> = self
            .transaction
            .prepare_cached(
                "SELECT 1 FROM code_use WHERE bucket = ?1 AND cti = ?2 AND kid = ?3
                   AND counter = ?4 AND (iat <> ?5 OR nonce <> ?6) LIMIT 1",
            )
            .and_then(|mut statement| {
                let CodeIdentity {
                    kid,
                    cti,
                    issued_at,
                    nonce,
                } = self.code;
                statement
                    .query_row(
                        params![
                            self.bucket.number(),
                            cti.0,
                            kid.0,
                            counter,
                            issued_at.0,
                            nonce.0
                        ],
                        |row| row.get(0),
                    )
                    .optional()
            })
            .doing("comparing counters")?;
        Ok(found.is_some())
    }

    fn open_case(&self, kind: Fraud, contested: &str, now: UnixTime) -> Result<(), Fault> {
        let inserted = self
            .transaction
            .execute(
                "INSERT INTO fraud_case (bucket, cti, kid, kind, contested, opened_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    self.bucket.number(),
                    self.code.cti.0,
                    self.code.kid.0,
                    kind.number(),
                    contested,
                    now.0
                ],
            )
            .doing("opening a fraud case")?;
        if inserted == 1 {
            outbox::append(
                self.transaction,
                self.bucket,
                "fraud.opened",
                contested,
                now,
            )?;
        }
        Ok(())
    }
}

fn row_of_use(row: &Row<'_>) -> Result<KnownUse, Fault> {
    const DOING: &str = "reading the use of a code";
    const TABLE: &str = "code_use";
    let number = |at| row.get::<_, i64>(at).doing(DOING);
    let terminal: String = row.get(1).doing(DOING)?;
    let key = RideKey {
        terminal: TerminalName::new(&terminal)
            .ok_or_else(|| damaged(TABLE, format_args!("terminal {terminal:?}")))?,
        epoch: Epoch(blob_from(TABLE, "epoch", row.get(2).doing(DOING)?)?),
        seq: number_from(TABLE, "seq", number(3)?)?,
    };
    let charge = Charge {
        key,
        payer: account_id(TABLE, number(4)?, number(5)?, number(6)?)?,
        operator: row.get(7).doing(DOING)?,
        amount: Amount::from_minor(number(8)?),
        accepted_at: UnixTime(number_from(TABLE, "accepted_at", number(0)?)?),
    };
    Ok(KnownUse {
        charge,
        charged: row.get(9).doing(DOING)?,
    })
}
