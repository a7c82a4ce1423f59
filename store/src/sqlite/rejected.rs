//! Records that were received and not charged: shown, examined again, charged late.

use obol_payment::UnixTime;
use obol_payment::ride::{Reexamined, RideKey, StoredRecord};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::row::to_sql;
use super::{Books, Doing, SqliteStore, ledger, uses};
use crate::{Fault, Kept, NotCharged, Reposted};

const TABLE: &str = "inbox";

/// The most refused records one call returns.
pub const REJECTED_MAX: usize = 1000;

impl Books {
    /// Refused records of the inbox with the codes of their refusals, at most [`REJECTED_MAX`],
    /// behind `after` in the order of (bucket, terminal, journal, place); `None`: from the
    /// beginning.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn rejected(&self, after: Option<&RideKey>) -> Result<Vec<(StoredRecord, String)>, Fault> {
        const DOING: &str = "reading refused records";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT terminal, epoch, seq, received_at, record, reason FROM inbox
                     WHERE reason IS NOT NULL AND (bucket, terminal, epoch, seq) > (?1, ?2, ?3, ?4)
                     ORDER BY bucket, terminal, epoch, seq LIMIT ?5",
                )
                .doing(DOING)?;
            let mut rows = statement
                .query(params![
                    after.map_or(-1, |key| i64::from(key.bucket().number())),
                    after.map_or("", |key| key.terminal.as_str()),
                    after.map_or([0; 8], |key| key.epoch.0),
                    after.map_or(0, |key| to_sql(key.seq)),
                    REJECTED_MAX as i64,
                ])
                .doing(DOING)?;
            let mut records = Vec::new();
            while let Some(row) = rows.next().doing(DOING)? {
                records.push(stored_record(row)?);
            }
            Ok(records)
        })
    }

    /// Every record that was received and is not charged: refused, or in the quarantine.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn not_charged(&self) -> Result<Vec<NotCharged>, Fault> {
        const DOING: &str = "listing records that are not charged";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT terminal, epoch, seq, received_at, reason FROM inbox
                      WHERE reason IS NOT NULL
                     UNION ALL
                     SELECT terminal, epoch, seq, received_at, NULL FROM quarantine
                     ORDER BY 1, 2, 3, 4, 5",
                )
                .doing(DOING)?;
            let mut rows = statement.query([]).doing(DOING)?;
            let mut records = Vec::new();
            while let Some(row) = rows.next().doing(DOING)? {
                let reason: Option<String> = row.get(4).doing(DOING)?;
                records.push(NotCharged {
                    key: uses::ride_key(row, TABLE, 0)?,
                    received_at: row.get(3).doing(DOING)?,
                    kept: reason.map_or(Kept::Quarantined, Kept::Rejected),
                });
            }
            Ok(records)
        })
    }
}

impl SqliteStore {
    /// Takes up what examining a refused record again has found, in one transaction: a record
    /// that verifies now is charged as if it had verified when it arrived. Doing so twice, or in
    /// another order, ends in the same books.
    ///
    /// # Errors
    /// [`Fault`] when storage fails; nothing is changed.
    pub fn repost(&self, record: &Reexamined, now: UnixTime) -> Result<Reposted, Fault> {
        self.write("posting a refused record", |transaction| {
            let stored = record.record();
            if !is_refused(transaction, stored)? {
                return Ok(Reposted::NothingToDo);
            }
            match record.ride() {
                Err(refusal) => {
                    set_reason(transaction, &stored.key, Some(refusal.code()))?;
                    Ok(Reposted::Rejected(refusal.code()))
                }
                Ok(ride) => {
                    set_reason(transaction, &stored.key, None)?;
                    ledger::posting(transaction, |poster| {
                        uses::charge(transaction, poster, ride, self.book.day, now)
                    })?;
                    Ok(Reposted::Accepted)
                }
            }
        })
    }
}

/// Whether these very bytes lie in the inbox with a reason.
fn is_refused(transaction: &Transaction<'_>, record: &StoredRecord) -> Result<bool, Fault> {
    let key = &record.key;
    let found: Option<Vec<u8>> = transaction
        .query_row(
            "SELECT record FROM inbox WHERE bucket = ?1 AND terminal = ?2 AND epoch = ?3
               AND seq = ?4 AND reason IS NOT NULL",
            params![
                key.bucket().number(),
                key.terminal.as_str(),
                key.epoch.0,
                to_sql(key.seq)
            ],
            |row| row.get(0),
        )
        .optional()
        .doing("looking for a refused record")?;
    Ok(found.is_some_and(|bytes| bytes == record.bytes))
}

fn set_reason(
    transaction: &Transaction<'_>,
    key: &RideKey,
    reason: Option<&str>,
) -> Result<(), Fault> {
    transaction
        .execute(
            "UPDATE inbox SET reason = ?5 WHERE bucket = ?1 AND terminal = ?2 AND epoch = ?3
               AND seq = ?4",
            params![
                key.bucket().number(),
                key.terminal.as_str(),
                key.epoch.0,
                to_sql(key.seq),
                reason
            ],
        )
        .doing("noting why a record is refused")?;
    Ok(())
}

fn stored_record(row: &Row<'_>) -> Result<(StoredRecord, String), Fault> {
    const DOING: &str = "reading a refused record";
    let record = StoredRecord {
        key: uses::ride_key(row, TABLE, 0)?,
        received_at: UnixTime(row.get(3).doing(DOING)?),
        bytes: row.get(4).doing(DOING)?,
    };
    Ok((record, row.get(5).doing(DOING)?))
}
