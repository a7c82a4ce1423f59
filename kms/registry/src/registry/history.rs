use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use crate::approval::Approval;
use crate::fault::{Doing, Fault};
use crate::machine::{Act, State};
use crate::registry::KeptClearance;
use crate::registry::cleared;
use crate::registry::record::named;
use crate::roster::Officer;
use crate::spki::SpkiId;
use crate::statement::RegistryId;

/// One change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppliedChange {
    /// The key's version afterwards.
    pub version: u64,
    /// The life of the registry in which it was made.
    pub registry: RegistryId,
    /// The state before.
    pub from: State,
    /// The state afterwards.
    pub to: State,
    /// What was done.
    pub act: Act,
    /// When.
    pub at: UnixTime,
    /// Why, in words.
    pub reason: String,
    /// Who approved: the officer's name, and what was signed.
    pub approvals: Vec<(String, Approval)>,
    /// For the activation of a key that terminals meet: what cleared it.
    pub clearance: Option<KeptClearance>,
}

pub(super) struct NewChange<'a> {
    pub(super) spki: SpkiId,
    pub(super) version: u64,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) act: Act,
    pub(super) at: UnixTime,
    pub(super) reason: &'a str,
}

pub(super) fn append(
    connection: &Connection,
    registry: RegistryId,
    change: &NewChange<'_>,
    approvals: &[(&Officer, &Approval)],
) -> Result<(), Fault> {
    const DOING: &str = "writing the history";
    let (spki, version) = (change.spki.0, change.version);
    connection
        .execute(
            "INSERT INTO change VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                spki,
                version,
                registry.0,
                change.from.name(),
                change.to.name(),
                change.act.name(),
                change.at.0,
                change.reason
            ],
        )
        .doing(DOING)?;
    for (officer, approval) in approvals {
        connection
            .execute(
                "INSERT INTO approval VALUES (?1, ?2, ?3, ?4)",
                params![spki, version, officer.name(), approval.encode()],
            )
            .doing(DOING)?;
    }
    Ok(())
}

pub(super) fn of(connection: &Connection, spki: SpkiId) -> Result<Vec<AppliedChange>, Fault> {
    const DOING: &str = "reading the history";
    let mut statement = connection
        .prepare_cached(
            "SELECT version, registry, from_state, to_state, act, at, reason
             FROM change WHERE spki = ?1 ORDER BY version",
        )
        .doing(DOING)?;
    let rows = statement.query_map([spki.0], |row| {
        Ok(AppliedChange {
            version: row.get(0)?,
            registry: RegistryId(row.get(1)?),
            from: named(row, 2)?,
            to: named(row, 3)?,
            act: named(row, 4)?,
            at: UnixTime(row.get(5)?),
            reason: row.get(6)?,
            approvals: Vec::new(),
            clearance: None,
        })
    });
    let mut changes = rows
        .doing(DOING)?
        .collect::<Result<Vec<_>, _>>()
        .doing(DOING)?;
    for change in &mut changes {
        change.approvals = approvals(connection, spki, change.version)?;
        change.clearance = cleared::kept(connection, spki, change.version)?;
    }
    Ok(changes)
}

fn approvals(
    connection: &Connection,
    spki: SpkiId,
    version: u64,
) -> Result<Vec<(String, Approval)>, Fault> {
    const DOING: &str = "reading approvals";
    let mut statement = connection
        .prepare_cached(
            "SELECT officer, approval FROM approval WHERE spki = ?1 AND version = ?2
             ORDER BY officer",
        )
        .doing(DOING)?;
    let rows = statement.query_map(params![spki.0, version], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let mut approvals = Vec::new();
    for row in rows.doing(DOING)? {
        let (officer, bytes) = row.doing(DOING)?;
        let approval = Approval::decode(&bytes).map_err(|error| {
            Fault::Damaged(format!("approval of {officer:?} for key {spki}: {error}"))
        })?;
        approvals.push((officer, approval));
    }
    Ok(approvals)
}
