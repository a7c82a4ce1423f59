use std::str::FromStr;

use obol_credential::UnixTime;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::class::{Algorithm, Class, UnknownName};
use crate::fault::{Doing, Fault};
use crate::limits::{Limits, Rate};
use crate::machine::State;
use crate::settings::Settings;
use crate::spki::SpkiId;

/// What the registry knows of a key. Whether its token shows it now is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Its name.
    pub spki: SpkiId,
    /// DER SubjectPublicKeyInfo; for AES the caller's descriptor.
    pub spki_der: Vec<u8>,
    /// What it is for.
    pub class: Class,
    /// Its kind.
    pub algorithm: Algorithm,
    /// Serial number of the token that made it.
    pub token_serial: String,
    /// Its label in the token, for people.
    pub label: String,
    /// DER certificate.
    pub certificate: Option<Vec<u8>>,
    /// Its state.
    pub state: State,
    /// Rises with each change, from 1.
    pub version: u64,
    /// When it was registered.
    pub registered_at: UnixTime,
    /// When it was last published.
    pub published_at: Option<UnixTime>,
    /// When it stopped signing.
    pub retiring_at: Option<UnixTime>,
    /// Since when its destruction is pending.
    pub pending_since: Option<UnixTime>,
    /// Where a suspended key came from.
    pub suspended_from: Option<State>,
    /// Where a key came from whose destruction is pending.
    pub scheduled_from: Option<State>,
    /// How much it may be used.
    pub limits: Limits,
    /// Uses reserved so far: at least as many as there were.
    pub reserved: u64,
    /// Whether an activation of it was cleared by a plan, by there being no fleet, or before plans
    /// were demanded.
    pub cleared: bool,
}

impl KeyRecord {
    /// When waiting ends that the key's state is in: propagation, verify-only tail, or the time
    /// before its destruction. `None` in states that wait for nothing.
    #[must_use]
    pub fn waits_until(&self, settings: &Settings) -> Option<UnixTime> {
        let (since, wait) = match self.state {
            State::Published => (self.published_at, settings.propagation_s),
            State::Retiring => (self.retiring_at, settings.tail_s),
            State::PendingDestruction => (self.pending_since, settings.destruction_wait_s),
            _ => return None,
        };
        since.map(|since| since.plus(wait))
    }
}

const COLUMNS: &str = "spki, spki_der, class, algorithm, token_serial, label, certificate, state,
    version, registered_at, published_at, retiring_at, pending_since, suspended_from,
    scheduled_from, lifetime, reserved, key_permits, key_per_s, key_burst, client_permits,
    client_per_s, client_burst,
    EXISTS (SELECT 1 FROM clearance WHERE clearance.spki = key.spki)";

pub(super) fn all(connection: &Connection) -> Result<Vec<KeyRecord>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM key ORDER BY registered_at, spki");
    let mut statement = connection.prepare_cached(&sql).doing(DOING)?;
    let rows = statement.query_map([], read).doing(DOING)?;
    rows.collect::<Result<_, _>>().doing(DOING)
}

pub(super) fn one(connection: &Connection, spki: SpkiId) -> Result<Option<KeyRecord>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM key WHERE spki = ?1");
    let mut statement = connection.prepare_cached(&sql).doing(DOING)?;
    statement.query_row([spki.0], read).optional().doing(DOING)
}

const DOING: &str = "reading a key";

fn read(row: &Row<'_>) -> Result<KeyRecord, rusqlite::Error> {
    let rate = |first: usize| -> Result<Rate, rusqlite::Error> {
        Ok(Rate {
            permits: row.get(first)?,
            per_s: row.get(first + 1)?,
            burst: row.get(first + 2)?,
        })
    };
    let time = |column| -> Result<Option<UnixTime>, rusqlite::Error> {
        Ok(row.get::<_, Option<u32>>(column)?.map(UnixTime))
    };
    Ok(KeyRecord {
        spki: SpkiId(row.get(0)?),
        spki_der: row.get(1)?,
        class: named(row, 2)?,
        algorithm: named(row, 3)?,
        token_serial: row.get(4)?,
        label: row.get(5)?,
        certificate: row.get(6)?,
        state: named(row, 7)?,
        version: row.get(8)?,
        registered_at: UnixTime(row.get(9)?),
        published_at: time(10)?,
        retiring_at: time(11)?,
        pending_since: time(12)?,
        suspended_from: maybe_named(row, 13)?,
        scheduled_from: maybe_named(row, 14)?,
        limits: Limits {
            lifetime: row.get(15)?,
            per_key: rate(17)?,
            per_client: rate(20)?,
        },
        reserved: row.get(16)?,
        cleared: row.get(23)?,
    })
}

/// Reads a name; an unknown one says that a newer program or a stranger wrote it.
pub(super) fn named<T: FromStr<Err = UnknownName>>(
    row: &Row<'_>,
    column: usize,
) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    parsed(&text, column)
}

fn maybe_named<T: FromStr<Err = UnknownName>>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, rusqlite::Error> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| parsed(&text, column)).transpose()
}

fn parsed<T: FromStr<Err = UnknownName>>(text: &str, column: usize) -> Result<T, rusqlite::Error> {
    text.parse().map_err(|error: UnknownName| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// A key that a transaction has just read or written.
pub(super) fn known(connection: &Connection, spki: SpkiId) -> Result<KeyRecord, Fault> {
    one(connection, spki)?.ok_or_else(|| Fault::Damaged(format!("key {spki} is gone")))
}
