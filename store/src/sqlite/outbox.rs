use obol_ledger::Bucket;
use obol_payment::UnixTime;
use rusqlite::{Transaction, params};

use super::row::{number_from, to_sql};
use super::{Books, Doing};
use crate::{Event, Fault};

/// The most events one call returns.
pub const EVENTS_MAX: usize = 1000;

impl Books {
    /// The events of a bucket behind number `after` (0: from the beginning), oldest first, at
    /// most [`EVENTS_MAX`].
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn events(&self, bucket: Bucket, after: u64) -> Result<Vec<Event>, Fault> {
        const DOING: &str = "reading events";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT seq, topic, reference, at FROM outbox WHERE bucket = ?1 AND seq > ?2
                     ORDER BY seq LIMIT ?3",
                )
                .doing(DOING)?;
            let mut rows = statement
                .query(params![bucket.number(), to_sql(after), EVENTS_MAX as i64])
                .doing(DOING)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next().doing(DOING)? {
                events.push(Event {
                    bucket: bucket.number(),
                    seq: number_from("outbox", "seq", row.get(0).doing(DOING)?)?,
                    topic: row.get(1).doing(DOING)?,
                    reference: row.get(2).doing(DOING)?,
                    at: row.get(3).doing(DOING)?,
                });
            }
            Ok(events)
        })
    }
}

/// Adds an event to the transaction that makes it true.
pub(super) fn append(
    transaction: &Transaction<'_>,
    bucket: Bucket,
    topic: &str,
    reference: &str,
    now: UnixTime,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO outbox (bucket, seq, topic, reference, at)
             SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2, ?3, ?4 FROM outbox WHERE bucket = ?1",
            params![bucket.number(), topic, reference, now.0],
        )
        .doing("appending an event")?;
    Ok(())
}
