//! Credentials that are long over leave, a few at a time so that nobody waits.

use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use super::{Register, RegisterError};
use crate::issuance::epoch;

/// Rows of a table that one round deletes at most.
const ROUND: u32 = 500;

/// What one round deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purged {
    /// Nothing old is left.
    Everything,
    /// There may be more.
    Some,
}

impl Register {
    /// Deletes some of what is older than `before`: credentials issued on an earlier day, requests,
    /// quotas. A device key that is forgotten here could be used again, so `before` is many days
    /// ago.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub(crate) async fn purge_some(&self, before: UnixTime) -> Result<Purged, RegisterError> {
        self.write(move |connection| purge(connection, before))
            .await
    }
}

fn purge(connection: &Connection, before: UnixTime) -> Result<Purged, RegisterError> {
    const ISSUED: &str = "
DELETE FROM issued WHERE (kid, epoch, status_index) IN (
    SELECT kid, epoch, status_index FROM issued WHERE kid = ?1 AND epoch < ?2 LIMIT ?3)
";
    const REQUESTS: &str = "
DELETE FROM request WHERE id IN (SELECT id FROM request WHERE made_at < ?1 LIMIT ?2)
";
    let day = epoch(before);
    let mut most = 0;
    for kid in super::denied::shards(connection)? {
        let deleted = connection
            .prepare_cached(ISSUED)?
            .execute(params![kid, day, ROUND])?;
        most = most.max(deleted);
    }
    let deleted = connection
        .prepare_cached(REQUESTS)?
        .execute(params![day * obol_credential::STATUS_EPOCH_S, ROUND])?;
    most = most.max(deleted);
    if most < ROUND as usize {
        connection.execute("DELETE FROM usage WHERE day < ?1", [day])?;
        connection.execute("DELETE FROM carried WHERE epoch < ?1", [day])?;
        Ok(Purged::Everything)
    } else {
        Ok(Purged::Some)
    }
}
