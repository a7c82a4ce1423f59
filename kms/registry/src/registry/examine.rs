//! Whether a registry's file agrees with itself.

use std::collections::BTreeSet;

use obol_credential::UnixTime;
use rusqlite::Connection;

use crate::approval::{Approval, verifies};
use crate::clearance::Cleared;
use crate::fault::{Doing, Fault};
use crate::machine::{Act, State, rule};
use crate::registry::{AppliedChange, Identity, KeyRecord, cleared, history, record};
use crate::spki::SpkiId;
use crate::statement::RegistryId;

pub(super) fn whole(connection: &Connection, identity: &Identity) -> Result<(), Fault> {
    integrity(connection)?;
    let lives = lives(connection, identity.id)?;
    for key in record::all(connection)? {
        if SpkiId::of(&key.spki_der) != key.spki {
            return Err(damaged(key.spki, "its public key is another"));
        }
        let changes = history::of(connection, key.spki)?;
        follows(&key, &changes)?;
        for change in &changes {
            carried(identity, &lives, &key, change)?;
        }
    }
    Ok(())
}

fn integrity(connection: &Connection) -> Result<(), Fault> {
    const DOING: &str = "checking the file";
    let answer: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .doing(DOING)?;
    if answer != "ok" {
        return Err(Fault::Damaged(answer));
    }
    let mut orphans = connection
        .prepare("PRAGMA foreign_key_check")
        .doing(DOING)?;
    if orphans.exists([]).doing(DOING)? {
        return Err(Fault::Damaged("a row belongs to no key".to_owned()));
    }
    Ok(())
}

/// A time at which this file was the registry of that name, beginning with a restore or not.
struct Life {
    id: RegistryId,
    restored_at: Option<UnixTime>,
}

fn lives(connection: &Connection, now: RegistryId) -> Result<Vec<Life>, Fault> {
    const DOING: &str = "reading restorations";
    let mut statement = connection
        .prepare("SELECT id, former, at FROM restoration ORDER BY rowid")
        .doing(DOING)?;
    let rows = statement.query_map([], |row| {
        Ok((
            RegistryId(row.get(0)?),
            RegistryId(row.get(1)?),
            UnixTime(row.get(2)?),
        ))
    });
    let mut lives = Vec::new();
    for row in rows.doing(DOING)? {
        let (id, former, at) = row.doing(DOING)?;
        if lives.is_empty() {
            lives.push(Life {
                id: former,
                restored_at: None,
            });
        }
        lives.push(Life {
            id,
            restored_at: Some(at),
        });
    }
    if lives.is_empty() {
        lives.push(Life {
            id: now,
            restored_at: None,
        });
    }
    match lives.last() {
        Some(last) if last.id == now => Ok(lives),
        _ => Err(Fault::Damaged(
            "its name is not that of its last restore".to_owned(),
        )),
    }
}

/// The state is where the history leads.
fn follows(key: &KeyRecord, changes: &[AppliedChange]) -> Result<(), Fault> {
    let mut state = State::Planned;
    for (change, version) in changes.iter().zip(1..) {
        let known = rule(change.from, change.to).is_some_and(|rule| rule.act == change.act);
        if change.version != version || change.from != state || !known {
            return Err(damaged(
                key.spki,
                &format!("its history breaks at version {version}"),
            ));
        }
        state = change.to;
    }
    if key.state != state || key.version != changes.len() as u64 {
        return Err(damaged(
            key.spki,
            "its state is not where its history leads",
        ));
    }
    Ok(())
}

/// The approvals that the change took are there.
fn carried(
    identity: &Identity,
    lives: &[Life],
    key: &KeyRecord,
    change: &AppliedChange,
) -> Result<(), Fault> {
    let version = change.version;
    let broken = |what: &str| Err(damaged(key.spki, &format!("{what} at version {version}")));
    let Some(life) = lives.iter().find(|life| life.id == change.registry) else {
        return broken("a change of another registry");
    };
    if change.act == Act::Suspend && life.restored_at == Some(change.at) {
        return Ok(());
    }
    let cleared = match cleared(key, change) {
        Ok(cleared) => cleared,
        Err(what) => return broken(&what),
    };
    let mut officers = BTreeSet::new();
    for (name, approval) in &change.approvals {
        let officer = identity.roster.officer(approval.officer());
        let known = officer.is_some_and(|officer| officer.name() == name);
        if !known || !says(key, change, cleared, approval) || !verifies(approval) {
            return broken(&format!("the approval of {name:?} is wrong"));
        }
        officers.insert(approval.officer());
    }
    if officers.len() < usize::from(identity.roster.needed(change.act)) {
        return broken("approvals are missing");
    }
    Ok(())
}

/// What the officers must have signed of a plan, from the texts that were kept.
fn cleared(key: &KeyRecord, change: &AppliedChange) -> Result<Option<Cleared>, String> {
    let called_for = cleared::is_called_for(change.act, key.class);
    match &change.clearance {
        None if called_for => Err("no plan was kept".to_owned()),
        Some(_) if !called_for => Err("a plan that nobody asked for".to_owned()),
        None => Ok(None),
        Some(kept) => kept.cleared().map_err(|error| format!("its plan: {error}")),
    }
}

fn says(
    key: &KeyRecord,
    change: &AppliedChange,
    cleared: Option<Cleared>,
    approval: &Approval,
) -> bool {
    let said = approval.statement();
    said.registry == change.registry
        && said.spki == key.spki
        && said.class == key.class
        && (said.from, said.to) == (change.from, change.to)
        && said.version + 1 == change.version
        && said.cleared == cleared
        && change.at <= said.not_after
}

fn damaged(spki: SpkiId, what: &str) -> Fault {
    Fault::Damaged(format!("key {spki}: {what}"))
}
