//! How many credentials a client had of a key today.

use rusqlite::{Connection, OptionalExtension, params};

use super::reserve::{Batch, Reservation, ReserveRefused};
use crate::issuance::epoch;

pub(super) fn check(
    connection: &Connection,
    batch: &Batch,
    new: &Reservation,
) -> Result<(), ReserveRefused> {
    const SELECT: &str = "SELECT count FROM usage WHERE client = ?1 AND kid = ?2 AND day = ?3";
    let used: Option<u32> = connection
        .prepare_cached(SELECT)?
        .query_row(
            params![batch.client, new.kid.0, epoch(new.issued_at)],
            |row| row.get(0),
        )
        .optional()?;
    if used.is_some_and(|used| used >= batch.quota) {
        return Err(ReserveRefused::Quota(batch.quota));
    }
    Ok(())
}

pub(super) fn count(
    connection: &Connection,
    batch: &Batch,
    new: &Reservation,
) -> Result<(), ReserveRefused> {
    const UPSERT: &str = "
INSERT INTO usage (client, kid, day, count) VALUES (?1, ?2, ?3, 1)
ON CONFLICT (client, kid, day) DO UPDATE SET count = count + 1
";
    connection.prepare_cached(UPSERT)?.execute(params![
        batch.client,
        new.kid.0,
        epoch(new.issued_at)
    ])?;
    Ok(())
}
