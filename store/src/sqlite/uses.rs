//! Uses of codes: which rides are charged, and which contest one another.

use obol_account::AccountNumber;
use obol_ledger::{Bucket, DayRule};
use obol_payment::ride::{
    Charge, Charging, Contest, Epoch, Fraud, Party, RideKey, RideOrder, TerminalName, VerifiedRide,
};
use obol_payment::{CodeIdentity, UnixTime};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::journeys::{Payer, StoredRide};
use super::ledger::Poster;
use super::row::{account_number, blob_from, damaged, number_from, to_sql};
use super::{Books, Doing, SqliteStore, outbox, passengers};
use crate::{Fault, FraudCase};

impl Books {
    /// The fraud cases, oldest credential pseudonyms first within their buckets.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn fraud_cases(&self) -> Result<Vec<FraudCase>, Fault> {
        const DOING: &str = "reading fraud cases";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT f.kind, f.cti, f.kid, f.contested, c.number, f.opened_at,
                       f.closed_at
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

impl SqliteStore {
    /// Closes every open fraud case of an account: somebody has looked at them. Returns how many.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn close_fraud_cases(&self, number: AccountNumber, now: UnixTime) -> Result<u64, Fault> {
        const DOING: &str = "closing fraud cases";
        self.write(DOING, |transaction| {
            let closed = transaction
                .execute(
                    "UPDATE fraud_case SET closed_at = ?2 WHERE closed_at IS NULL
                       AND (bucket, cti, kid) IN
                         (SELECT bucket, cti, kid FROM credential WHERE number = ?1)",
                    params![to_sql(number.get()), now.0],
                )
                .doing(DOING)?;
            Ok(closed as u64)
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
        closed_at: row.get(6).doing(DOING)?,
    })
}

/// Records the use of a code by a ride that is new, takes back what no longer has to be charged,
/// brings all fares that depend on it up to date, and opens fraud cases.
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
        bucket: bucket_of(&ride.identity()),
    };
    let arriving: RideOrder = (ride.accepted_at(), ride.key().clone());
    let first = StoredRide::first_of(transaction, &code.code, code.bucket.number())?;
    let order = |ride: &StoredRide| (ride.charge.accepted_at, ride.charge.key.clone());
    let first_known: Option<RideOrder> = first.as_ref().map(order);
    let contest = Contest {
        arriving: &arriving,
        first_known: first_known.as_ref(),
    };
    let wallet = passengers::account_of_credential(transaction, code.code.kid, code.code.cti)?;
    let charge = Charge::of(ride, wallet.map(AccountNumber::wallet));
    code.insert(ride, &charge, contest.charging())?;
    // The first of the known uses is the one that is charged.
    if let (Some(displaced), Some(_)) = (&first, contest.displaced()) {
        code.mark_uncharged(&displaced.charge.key)?;
        displaced.take_back(transaction, poster, day)?;
        code.settle_around(poster, &displaced.charge, day)?;
    }
    if contest.charging() == Charging::Charged {
        code.settle_around(poster, &charge, day)?;
    }
    if first.is_some() {
        code.open_second_use(now)?;
    }
    if code.counter_has_another_code(ride.counter())? {
        code.open_case(Fraud::CounterReuse, &ride.counter().to_string(), now)?;
    }
    Ok(())
}

/// Whether a credential of the account has an open case of a reused counter.
pub(super) fn has_reused_counter(
    transaction: &Transaction<'_>,
    number: AccountNumber,
) -> Result<bool, Fault> {
    transaction
        .prepare_cached(
            "SELECT EXISTS (
               SELECT 1 FROM credential c JOIN fraud_case f
                 ON f.bucket = c.bucket AND f.cti = c.cti AND f.kid = c.kid
                WHERE c.number = ?1 AND f.kind = ?2 AND f.closed_at IS NULL)",
        )
        .and_then(|mut statement| {
            let kind = Fraud::CounterReuse.number();
            statement.query_row(params![to_sql(number.get()), kind], |row| row.get(0))
        })
        .doing("looking for a reused counter")
}

/// Where all uses of a credential meet.
pub(super) fn bucket_of(code: &CodeIdentity) -> Bucket {
    Bucket::of_bytes(&code.cti.0)
}

/// The rows of `code_use` around one code.
struct CodeUses<'t> {
    transaction: &'t Transaction<'t>,
    code: CodeIdentity,
    bucket: Bucket,
}

impl CodeUses<'_> {
    /// Brings the books to what the payer's rides around this one cost now.
    fn settle_around(
        &self,
        poster: &mut Poster<'_>,
        charge: &Charge,
        day: DayRule,
    ) -> Result<(), Fault> {
        let payer = Payer {
            transaction: self.transaction,
            account: charge.payer,
            operator: &charge.operator,
            kid: self.code.kid,
            cti: self.code.cti,
        };
        payer.settle_around(poster, charge.accepted_at, day)
    }

    fn insert(
        &self,
        ride: &VerifiedRide,
        charge: &Charge,
        charging: Charging,
    ) -> Result<(), Fault> {
        let quote = ride.quote();
        let transfer = quote.transfer;
        let (kind, discount_minor) = transfer.map_or((0, 0), |transfer| transfer.fare.numbers());
        self.transaction
            .prepare_cached(
                "INSERT INTO code_use (bucket, cti, kid, iat, nonce, terminal, epoch, seq, counter,
                   accepted_at, payer_bucket, payer_code, payer_owner, operator, amount_minor,
                   fare_rule, fare_pack, charged, companion, transfer_rule, transfer_within_s,
                   transfer_most, transfer_kind, transfer_discount_minor, charged_rule)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                   ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?16)",
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
                    quote.fare.amount_minor,
                    quote.fare.rule.0,
                    quote.fare.pack_id.0,
                    charging == Charging::Charged,
                    ride.party() == Party::Companion,
                    transfer.map(|transfer| transfer.id.0),
                    transfer.map_or(0, |transfer| transfer.within_s),
                    transfer.map_or(0, |transfer| transfer.most),
                    kind,
                    discount_minor,
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

    fn open_second_use(&self, now: UnixTime) -> Result<(), Fault> {
        let nonce = self.code.nonce.0.map(|byte| format!("{byte:02x}")).concat();
        let contested = format!("{}/{nonce}", self.code.issued_at);
        self.open_case(Fraud::SecondUse, &contested, now)
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

/// From the columns terminal, epoch, seq, the first at `first`.
pub(super) fn ride_key(row: &Row<'_>, table: &'static str, first: usize) -> Result<RideKey, Fault> {
    const DOING: &str = "reading the place of a record";
    let terminal: String = row.get(first).doing(DOING)?;
    Ok(RideKey {
        terminal: TerminalName::new(&terminal)
            .ok_or_else(|| damaged(table, format_args!("terminal {terminal:?}")))?,
        epoch: Epoch(blob_from(table, "epoch", row.get(first + 1).doing(DOING)?)?),
        seq: number_from(table, "seq", row.get(first + 2).doing(DOING)?)?,
    })
}
