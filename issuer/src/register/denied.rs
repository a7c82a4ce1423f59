//! What a status list says: every live index of whoever is denied.

use std::collections::BTreeMap;

use obol_credential::{Kid, LIFE_MAX_S, STATUS_EPOCH_S, UnixTime};
use rusqlite::{Connection, params};

use super::{Register, RegisterError};
use crate::issuance::epoch;

/// An index stays denied for so long after its credential expired, for terminals whose clocks are
/// behind.
const GRACE_S: u32 = 3600;

/// One status list: of one shard and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedIndexes {
    /// The shard.
    pub kid: Kid,
    /// Whole days since 1970 UTC, of the credentials' `iat`.
    pub epoch: u32,
    /// Ascending, each once; empty when nobody is denied.
    pub indexes: Vec<u32>,
}

const DENIED: &str = "
SELECT i.kid, i.epoch, i.status_index
FROM standing s JOIN issued i ON i.subject = s.handle AND i.expires_at > ?1
WHERE s.kind = 0 AND s.state <> 0
UNION
SELECT i.kid, i.epoch, i.status_index
FROM standing s JOIN issued i ON i.device = s.handle AND i.expires_at > ?1
WHERE s.kind = 1 AND s.state <> 0
UNION
SELECT kid, epoch, status_index FROM carried WHERE epoch >= ?2
";

/// Walks the primary key from shard to shard instead of over every credential.
const SHARDS: &str = "
WITH RECURSIVE shard (kid) AS (
    SELECT min(kid) FROM issued
    UNION ALL
    SELECT (SELECT min(kid) FROM issued WHERE kid > shard.kid) FROM shard WHERE kid IS NOT NULL
)
SELECT kid FROM shard WHERE kid IS NOT NULL
";

impl Register {
    /// The status lists of every shard and epoch that may still have live credentials, and in each
    /// the indexes of denied subjects and devices.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn denied_indexes(&self, now: UnixTime) -> Result<Vec<DeniedIndexes>, RegisterError> {
        self.read(move |connection| denied(connection, now)).await
    }
}

fn denied(connection: &Connection, now: UnixTime) -> Result<Vec<DeniedIndexes>, RegisterError> {
    let live_from = now.minus(GRACE_S);
    let mut lists = BTreeMap::new();
    for list in epochs(connection, live_from, now)? {
        lists.insert(list, Vec::new());
    }
    let mut statement = connection.prepare_cached(DENIED)?;
    let oldest = live_from.minus(LIFE_MAX_S).0 / STATUS_EPOCH_S;
    let mut rows = statement.query([live_from.0, oldest])?;
    while let Some(row) = rows.next()? {
        let list = (row.get(0)?, row.get(1)?);
        lists.entry(list).or_default().push(row.get(2)?);
    }
    Ok(lists
        .into_iter()
        .map(|((kid, epoch), mut indexes)| {
            indexes.sort_unstable();
            DeniedIndexes {
                kid: Kid(kid),
                epoch,
                indexes,
            }
        })
        .collect())
}

/// Shard and epoch of every list that a live credential may point into.
fn epochs(
    connection: &Connection,
    live_from: UnixTime,
    now: UnixTime,
) -> Result<Vec<([u8; 4], u32)>, RegisterError> {
    const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM issued WHERE kid = ?1 AND epoch = ?2)";
    let oldest = live_from.minus(LIFE_MAX_S).0 / STATUS_EPOCH_S;
    let mut found = Vec::new();
    for kid in shards(connection)? {
        for day in oldest..=epoch(now) {
            let mut exists = connection.prepare_cached(EXISTS)?;
            if exists.query_row(params![kid, day], |row| row.get(0))? {
                found.push((kid, day));
            }
        }
    }
    Ok(found)
}

/// Every shard that a credential was reserved of.
pub(super) fn shards(connection: &Connection) -> Result<Vec<[u8; 4]>, RegisterError> {
    let mut statement = connection.prepare_cached(SHARDS)?;
    let shards = statement.query_map([], |row| row.get(0))?;
    Ok(shards.collect::<Result<_, _>>()?)
}
