use std::path::Path;

use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use crate::fault::{Doing, Fault, OpenError};
use crate::registry::{Identity, write_on};
use crate::roster::Roster;
use crate::settings::Settings;
use crate::statement::RegistryId;

/// One script per schema version; a script that was released is never edited.
const SCRIPTS: [&str; 2] = [include_str!("schema-1.sql"), include_str!("schema-2.sql")];
/// "OBKR": what kind of file this is, so that no other database is taken for a registry.
const APPLICATION_ID: i64 = 0x4f42_4b52;

/// Writes schema and identity into an empty file, in one transaction.
pub(super) fn create(
    connection: &mut Connection,
    path: &Path,
    identity: &Identity,
) -> Result<(), OpenError> {
    const DOING: &str = "making the registry";
    write_on(connection, DOING, |transaction| {
        let tables: i64 = transaction
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .doing(DOING)?;
        if tables != 0 {
            return Err(OpenError::Exists(path.to_owned()));
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .doing(DOING)?;
        run_scripts(transaction, 0)?;
        insert(transaction, identity)?;
        Ok(())
    })
}

/// Brings the file to the newest schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    const DOING: &str = "reading the schema";
    let number = |connection: &Connection, pragma: &str| -> Result<i64, Fault> {
        connection
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .doing(DOING)
    };
    let known = SCRIPTS.len() as i64;
    let found = number(connection, "user_version")?;
    let ours = number(connection, "application_id")? == APPLICATION_ID;
    if !ours || !(1..=known).contains(&found) {
        return Err(OpenError::Schema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    if found < known {
        write_on(connection, "migrating the schema", |transaction| {
            // Another process may have migrated while this one waited for the lock.
            let done = number(transaction, "user_version")?;
            run_scripts(transaction, usize::try_from(done).unwrap_or(SCRIPTS.len()))
        })?;
    }
    Ok(())
}

fn run_scripts(connection: &Connection, done: usize) -> Result<(), Fault> {
    const DOING: &str = "migrating the schema";
    for script in &SCRIPTS[done..] {
        connection.execute_batch(script).doing(DOING)?;
    }
    connection
        .pragma_update(None, "user_version", SCRIPTS.len() as i64)
        .doing(DOING)
}

fn insert(connection: &Connection, identity: &Identity) -> Result<(), Fault> {
    let Identity {
        id,
        created_at,
        roster,
        settings,
    } = identity;
    connection
        .execute(
            "INSERT INTO registry VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                id.0,
                created_at.0,
                roster.to_toml(),
                roster.hash().0,
                settings.propagation_s,
                settings.tail_s,
                settings.destruction_wait_s
            ],
        )
        .doing("writing the identity")?;
    Ok(())
}

/// Reads what is fixed, and demands that the roster is the one whose hash was pinned.
pub(crate) fn identity(connection: &Connection) -> Result<Identity, Fault> {
    let (id, created_at, text, pinned, settings) = connection
        .query_row(
            "SELECT id, created_at, roster, roster_sha256, propagation_s, tail_s,
                    destruction_wait_s FROM registry",
            [],
            |row| {
                let settings = Settings {
                    propagation_s: row.get(4)?,
                    tail_s: row.get(5)?,
                    destruction_wait_s: row.get(6)?,
                };
                let text: String = row.get(2)?;
                let pinned: [u8; 32] = row.get(3)?;
                Ok((row.get(0)?, row.get(1)?, text, pinned, settings))
            },
        )
        .doing("reading the identity")?;
    let roster = Roster::parse(&text)
        .map_err(|error| Fault::Damaged(format!("its roster does not read: {error}")))?;
    if roster.hash().0 != pinned {
        return Err(Fault::Damaged(
            "its roster is not the pinned one".to_owned(),
        ));
    }
    Ok(Identity {
        id: RegistryId(id),
        created_at: UnixTime(created_at),
        roster,
        settings,
    })
}
