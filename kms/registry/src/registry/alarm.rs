use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use crate::class::PayloadType;
use crate::fault::{Doing, Fault};
use crate::machine::State;
use crate::registry::record::named;
use crate::spki::SpkiId;

/// Attempts to use a key that must not be used: one record for each key, state and payload type,
/// so that repeating an attempt does not fill the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// The key.
    pub spki: SpkiId,
    /// The state it was in.
    pub state: State,
    /// What it was asked to sign.
    pub payload: PayloadType,
    /// The first attempt.
    pub first_at: UnixTime,
    /// The last attempt.
    pub last_at: UnixTime,
    /// How many there were.
    pub attempts: u64,
}

pub(super) fn raise(
    connection: &Connection,
    spki: SpkiId,
    state: State,
    payload: PayloadType,
    now: UnixTime,
) -> Result<(), Fault> {
    connection
        .execute(
            "INSERT INTO alarm VALUES (?1, ?2, ?3, ?4, ?4, 1)
             ON CONFLICT DO UPDATE SET last_at = ?4, attempts = attempts + 1",
            params![spki.0, state.name(), payload.name(), now.0],
        )
        .doing("writing an alarm")?;
    Ok(())
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Alarm>, Fault> {
    const DOING: &str = "reading alarms";
    let mut statement = connection
        .prepare("SELECT * FROM alarm ORDER BY first_at, spki")
        .doing(DOING)?;
    let rows = statement.query_map([], |row| {
        Ok(Alarm {
            spki: SpkiId(row.get(0)?),
            state: named(row, 1)?,
            payload: named(row, 2)?,
            first_at: UnixTime(row.get(3)?),
            last_at: UnixTime(row.get(4)?),
            attempts: row.get(5)?,
        })
    });
    rows.doing(DOING)?.collect::<Result<_, _>>().doing(DOING)
}
