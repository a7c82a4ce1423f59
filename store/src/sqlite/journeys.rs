//! What rides cost: recomputed from a payer's rides whenever one comes or goes.

use obol_ledger::{AccountId, Amount, Code, DayRule};
use obol_payment::ride::{Charge, Leg, Party, Posted, are_apart, fares};
use obol_payment::{CodeIdentity, Cti, Fare, Kid, Nonce, PackId, Quote, RuleId};
use obol_payment::{Transfer, TransferFare, UnixTime};
use rusqlite::{Row, Transaction, params};

use super::Doing;
use super::ledger::Poster;
use super::row::{account_id, blob_from, damaged, number_from, to_sql};
use super::uses::ride_key;
use crate::Fault;

const TABLE: &str = "code_use";
const COLUMNS: &str = "accepted_at, terminal, epoch, seq, payer_bucket, payer_code, payer_owner, \
     operator, cti, kid, iat, nonce, amount_minor, fare_rule, fare_pack, companion, \
     transfer_rule, transfer_within_s, transfer_most, transfer_kind, transfer_discount_minor, \
     charged_minor, charged_rule, postings";

/// A ride as the table holds it.
pub(super) struct StoredRide {
    pub(super) code: CodeIdentity,
    pub(super) charge: Charge,
    leg: Leg,
    posted: Posted,
    charged_rule: RuleId,
}

/// Whose rides make journeys together: an account's, or those of a credential that nobody knows.
pub(super) struct Payer<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) account: AccountId,
    pub(super) operator: &'a str,
    pub(super) kid: Kid,
    pub(super) cti: Cti,
}

impl Payer<'_> {
    /// Brings the books to what the rides around `at` cost now.
    pub(super) fn settle_around(
        &self,
        poster: &mut Poster<'_>,
        at: UnixTime,
        day: DayRule,
    ) -> Result<(), Fault> {
        let rides = self.around(at)?;
        let legs: Vec<Leg> = rides.iter().map(|ride| ride.leg).collect();
        for (ride, fare) in rides.iter().zip(fares(&legs)) {
            ride.settle(self.transaction, poster, fare, day)?;
        }
        Ok(())
    }

    /// The charged rides that may depend on a ride at `at`, in their order.
    fn around(&self, at: UnixTime) -> Result<Vec<StoredRide>, Fault> {
        let before = self.walk(
            at,
            "accepted_at <= ?7 ORDER BY accepted_at DESC, terminal DESC, epoch DESC, seq DESC",
        )?;
        let after = self.walk(
            at,
            "accepted_at > ?7 ORDER BY accepted_at, terminal, epoch, seq",
        )?;
        Ok(before.into_iter().rev().chain(after).collect())
    }

    /// Rides away from `at` until two lie apart.
    fn walk(&self, at: UnixTime, direction: &str) -> Result<Vec<StoredRide>, Fault> {
        const DOING: &str = "reading a payer's rides";
        // Suspense is one account for many: its rides are found by their credential.
        let whose = match self.account.code {
            Code::UnidentifiedRide => {
                "bucket = ?1 AND cti = ?5 AND kid = ?6 AND payer_code = ?2 AND payer_owner = ?3"
            }
            _ => "payer_bucket = ?1 AND payer_code = ?2 AND payer_owner = ?3",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM code_use
             WHERE {whose} AND operator = ?4 AND charged = 1 AND ?5 IS NOT NULL AND ?6 IS NOT NULL
               AND {direction}"
        );
        let mut statement = self.transaction.prepare_cached(&sql).doing(DOING)?;
        let mut rows = statement
            .query(params![
                self.account.bucket.number(),
                self.account.code.number(),
                to_sql(self.account.owner),
                self.operator,
                self.cti.0,
                self.kid.0,
                at.0,
            ])
            .doing(DOING)?;
        let (mut rides, mut last) = (Vec::new(), at);
        while let Some(row) = rows.next().doing(DOING)? {
            let ride = StoredRide::of(row)?;
            let next = ride.charge.accepted_at;
            if are_apart(last.min(next), last.max(next)) {
                break;
            }
            last = next;
            rides.push(ride);
        }
        Ok(rides)
    }
}

impl StoredRide {
    /// The first use of a code: the one that is charged.
    pub(super) fn first_of(
        transaction: &Transaction<'_>,
        code: &CodeIdentity,
        bucket: u8,
    ) -> Result<Option<StoredRide>, Fault> {
        const DOING: &str = "looking for uses of a code";
        let sql = format!(
            "SELECT {COLUMNS} FROM code_use
             WHERE bucket = ?1 AND cti = ?2 AND kid = ?3 AND iat = ?4 AND nonce = ?5
             ORDER BY accepted_at, terminal, epoch, seq LIMIT 1"
        );
        let mut statement = transaction.prepare_cached(&sql).doing(DOING)?;
        let mut rows = statement
            .query(params![
                bucket,
                code.cti.0,
                code.kid.0,
                code.issued_at.0,
                code.nonce.0
            ])
            .doing(DOING)?;
        rows.next().doing(DOING)?.map(StoredRide::of).transpose()
    }

    /// Takes back what was charged: another ride pays for the code.
    pub(super) fn take_back(
        &self,
        transaction: &Transaction<'_>,
        poster: &mut Poster<'_>,
        day: DayRule,
    ) -> Result<(), Fault> {
        let nothing = Fare {
            amount_minor: 0,
            ..self.leg.quote.fare
        };
        self.settle(transaction, poster, nothing, day)
    }

    fn settle(
        &self,
        transaction: &Transaction<'_>,
        poster: &mut Poster<'_>,
        fare: Fare,
        day: DayRule,
    ) -> Result<(), Fault> {
        let amount = Amount::from_minor(fare.amount_minor.into());
        let group = self.charge.posting(self.posted, amount, day);
        if group.is_none() && fare.rule == self.charged_rule {
            return Ok(());
        }
        if let Some(group) = &group {
            poster.post(group)?;
        }
        let postings = self.posted.postings + u32::from(group.is_some());
        let (key, code) = (&self.charge.key, &self.code);
        transaction
            .prepare_cached(
                "UPDATE code_use SET charged_minor = ?9, charged_rule = ?10, postings = ?11
                 WHERE bucket = ?1 AND cti = ?2 AND kid = ?3 AND iat = ?4 AND nonce = ?5
                   AND terminal = ?6 AND epoch = ?7 AND seq = ?8",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    super::uses::bucket_of(code).number(),
                    code.cti.0,
                    code.kid.0,
                    code.issued_at.0,
                    code.nonce.0,
                    key.terminal.as_str(),
                    key.epoch.0,
                    to_sql(key.seq),
                    amount.minor(),
                    fare.rule.0,
                    postings,
                ])
            })
            .doing("noting what a ride is charged")?;
        Ok(())
    }

    fn of(row: &Row<'_>) -> Result<StoredRide, Fault> {
        const DOING: &str = "reading the use of a code";
        let number = |at| row.get::<_, i64>(at).doing(DOING);
        let blob = |at| row.get::<_, Vec<u8>>(at).doing(DOING);
        let accepted_at = UnixTime(number_from(TABLE, "accepted_at", number(0)?)?);
        let code = CodeIdentity {
            cti: Cti(blob_from(TABLE, "cti", blob(8)?)?),
            kid: Kid(blob_from(TABLE, "kid", blob(9)?)?),
            issued_at: UnixTime(number_from(TABLE, "iat", number(10)?)?),
            nonce: Nonce(blob_from(TABLE, "nonce", blob(11)?)?),
        };
        let charge = Charge {
            key: ride_key(row, TABLE, 1)?,
            payer: account_id(TABLE, number(4)?, number(5)?, number(6)?)?,
            operator: row.get(7).doing(DOING)?,
            accepted_at,
        };
        let fare = Fare {
            amount_minor: number_from(TABLE, "amount_minor", number(12)?)?,
            rule: RuleId(number_from(TABLE, "fare_rule", number(13)?)?),
            pack_id: PackId(blob_from(TABLE, "fare_pack", blob(14)?)?),
        };
        let quote = Quote {
            at: accepted_at,
            fare,
            transfer: transfer_of(row)?,
        };
        let party = Party::of(number_from(TABLE, "companion", number(15)?)?);
        Ok(StoredRide {
            code,
            charge,
            leg: Leg { quote, party },
            posted: Posted {
                amount: Amount::from_minor(number(21)?),
                postings: number_from(TABLE, "postings", number(23)?)?,
            },
            charged_rule: RuleId(number_from(TABLE, "charged_rule", number(22)?)?),
        })
    }
}

fn transfer_of(row: &Row<'_>) -> Result<Option<Transfer>, Fault> {
    const DOING: &str = "reading how a ride transfers";
    let number = |at| row.get::<_, i64>(at).doing(DOING);
    let Some(rule): Option<i64> = row.get(16).doing(DOING)? else {
        return Ok(None);
    };
    let (kind, discount) = (number(19)?, number(20)?);
    let fare = TransferFare::from_numbers(
        number_from(TABLE, "transfer_kind", kind)?,
        number_from(TABLE, "transfer_discount_minor", discount)?,
    );
    Ok(Some(Transfer {
        id: RuleId(number_from(TABLE, "transfer_rule", rule)?),
        within_s: number_from(TABLE, "transfer_within_s", number(17)?)?,
        most: number_from(TABLE, "transfer_most", number(18)?)?,
        fare: fare.ok_or_else(|| damaged(TABLE, format_args!("transfer_kind {kind}")))?,
    }))
}
