use std::path::{Path, PathBuf};
use std::time::Duration;

use obol_credential::UnixTime;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, params};

use crate::fault::{Doing, Fault, OpenError};
use crate::files::{Disk, Files, folder_of};
use crate::machine::{Act, State};
use crate::registry::history::{self, NewChange};
use crate::registry::{Registry, examine, lock, migrate, record, write_on};
use crate::spki::SpkiId;
use crate::statement::RegistryId;

/// Pages copied at a time, so that writers get their turn.
const PAGES_AT_ONCE: i32 = 256;
/// Rest between two portions.
const REST: Duration = Duration::from_millis(5);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The file could not be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What was copied contradicts itself, or SQLite failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The new name is that of an earlier life.
    #[error("the new registry id {0} was used before; draw another")]
    SameId(RegistryId),
    /// The backup is no registry, or damaged.
    #[error("the backup is refused")]
    Backup(#[source] OpenError),
    /// The new file could not be written.
    #[error(transparent)]
    Write(#[from] BackupError),
}

impl From<Fault> for RestoreError {
    fn from(fault: Fault) -> RestoreError {
        RestoreError::Backup(fault.into())
    }
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Keys in the registry.
    pub keys: usize,
    /// Keys that were active and are now suspended.
    pub suspended: Vec<SpkiId>,
}

impl Registry {
    /// Copies the registry into one new file (mode 0600) while it is in use, examines the copy and
    /// makes it durable.
    ///
    /// # Errors
    /// [`BackupError`]; no file is left behind under that name.
    pub fn back_up(&self, to: &Path) -> Result<(), BackupError> {
        self.back_up_in(&Disk, to)
    }

    /// As [`Registry::back_up`], on another file system.
    ///
    /// # Errors
    /// As [`Registry::back_up`].
    pub fn back_up_in(&self, files: &dyn Files, to: &Path) -> Result<(), BackupError> {
        let part = Part::beside(files, to)?;
        {
            let reader = lock(&self.reader);
            copy(&reader, &part.path)?;
        }
        let copied = open_alone(&part.path)?;
        examine::whole(&copied, &migrate::identity(&copied)?)?;
        drop(copied);
        part.become_file(to)
    }

    /// Makes a registry from a backup, under a new name `id` (16 random bytes), so that approvals
    /// given to the lost one do not count in it.
    ///
    /// What happened after the backup is not in it: a key that it calls active may have been
    /// suspended, compromised or destroyed since. So every active key comes back `suspended`, and
    /// officers let it return when they have asked the audit log.
    ///
    /// # Errors
    /// [`RestoreError`]; the backup is untouched and nothing is left behind at `to`.
    pub fn restore(
        backup: &Path,
        to: &Path,
        id: RegistryId,
        now: UnixTime,
    ) -> Result<Restored, RestoreError> {
        Registry::restore_in(&Disk, backup, to, id, now)
    }

    /// As [`Registry::restore`], on another file system.
    ///
    /// # Errors
    /// As [`Registry::restore`].
    pub fn restore_in(
        files: &dyn Files,
        backup: &Path,
        to: &Path,
        id: RegistryId,
        now: UnixTime,
    ) -> Result<Restored, RestoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let source = Connection::open_with_flags(backup, flags).map_err(|source| {
            RestoreError::Backup(OpenError::Open {
                path: backup.to_owned(),
                source: source.into(),
            })
        })?;
        let part = Part::beside(files, to)?;
        copy(&source, &part.path)?;
        let restored = revive(&part.path, backup, id, now)?;
        part.become_file(to)?;
        Ok(restored)
    }
}

fn revive(
    path: &Path,
    backup: &Path,
    id: RegistryId,
    now: UnixTime,
) -> Result<Restored, RestoreError> {
    let mut connection = open_part(path)?;
    migrate::migrate(&mut connection, backup).map_err(RestoreError::Backup)?;
    let former = migrate::identity(&connection)?;
    examine::whole(&connection, &former)?;
    let restored = write_on(&mut connection, "restoring", |transaction| {
        rename_life(transaction, former.id, id, now)?;
        suspend_active(transaction, id, now)
    })?;
    examine::whole(&connection, &migrate::identity(&connection)?)?;
    alone(&connection)?;
    Ok(restored)
}

fn rename_life(
    connection: &Connection,
    former: RegistryId,
    id: RegistryId,
    now: UnixTime,
) -> Result<(), RestoreError> {
    const DOING: &str = "naming the restored registry";
    let used: bool = connection
        .query_row(
            "SELECT ?1 = ?2 OR EXISTS (SELECT 1 FROM restoration WHERE ?2 IN (id, former))",
            params![former.0, id.0],
            |row| row.get(0),
        )
        .doing(DOING)?;
    if used {
        return Err(RestoreError::SameId(id));
    }
    connection
        .execute(
            "INSERT INTO restoration VALUES (?1, ?2, ?3)",
            params![id.0, former.0, now.0],
        )
        .doing(DOING)?;
    connection
        .execute("UPDATE registry SET id = ?1", [id.0])
        .doing(DOING)?;
    Ok(())
}

fn suspend_active(
    connection: &Connection,
    id: RegistryId,
    now: UnixTime,
) -> Result<Restored, RestoreError> {
    let all = record::all(connection)?;
    let mut suspended = Vec::new();
    for key in all.iter().filter(|key| key.state == State::Active) {
        connection
            .execute(
                "UPDATE key SET state = ?2, version = version + 1, suspended_from = ?3
                 WHERE spki = ?1",
                params![key.spki.0, State::Suspended.name(), State::Active.name()],
            )
            .doing("suspending a key")?;
        let change = NewChange {
            spki: key.spki,
            version: key.version + 1,
            from: State::Active,
            to: State::Suspended,
            act: Act::Suspend,
            at: now,
            reason: "restored from a backup",
        };
        history::append(connection, id, &change, &[])?;
        suspended.push(key.spki);
    }
    let keys = all.len();
    Ok(Restored { keys, suspended })
}

/// A file that is being written beside its final place; removed unless it gets there.
struct Part<'a> {
    files: &'a dyn Files,
    path: PathBuf,
}

impl Part<'_> {
    fn beside<'a>(files: &'a dyn Files, to: &Path) -> Result<Part<'a>, BackupError> {
        // A log that a killed daemon left would be played into the new file, its active keys with it.
        if let Some(path) = names(to).find(|path| files.exists(path)) {
            return Err(BackupError::Exists(path));
        }
        let path = to.with_added_extension(format!("{}.part", std::process::id()));
        let part = Part { files, path };
        // What a process of the same number left when it was killed.
        part.remove();
        match files.create(&part.path) {
            Ok(()) => Ok(part),
            Err(source) => Err(BackupError::Write {
                path: part.path.clone(),
                source,
            }),
        }
    }

    /// A hard link takes the name only if nobody has it.
    fn become_file(self, to: &Path) -> Result<(), BackupError> {
        let linked = self
            .files
            .sync(&self.path)
            .and_then(|()| self.files.link(&self.path, to))
            .and_then(|()| self.files.sync_folder(folder_of(to)));
        linked.map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => BackupError::Write {
                path: to.to_owned(),
                source,
            },
        })
    }

    fn remove(&self) {
        for path in names(&self.path) {
            // Most of them were never made.
            drop(self.files.remove(&path));
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A file of SQLite's, and what SQLite keeps beside it.
fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-wal", "-shm", "-journal"].into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

fn copy(source: &Connection, to: &Path) -> Result<(), Fault> {
    const DOING: &str = "copying the registry";
    let mut target = open_part(to)?;
    let backup = Backup::new(source, &mut target).doing(DOING)?;
    backup
        .run_to_completion(PAGES_AT_ONCE, REST, None)
        .doing(DOING)?;
    drop(backup);
    alone(&target)
}

/// A part counts for nothing before it is a file, and is synced as a whole when it becomes one.
fn open_part(path: &Path) -> Result<Connection, Fault> {
    const DOING: &str = "opening the copy";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let part = Connection::open_with_flags(path, flags).doing(DOING)?;
    part.pragma_update(None, "synchronous", "OFF")
        .and_then(|()| part.pragma_update(None, "foreign_keys", true))
        .and_then(|()| part.pragma_update(None, "trusted_schema", false))
        .doing(DOING)?;
    Ok(part)
}

/// Without a write-ahead log, the file alone is the whole registry.
fn alone(connection: &Connection) -> Result<(), Fault> {
    const DOING: &str = "closing the copy";
    let mode: String = connection
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .doing(DOING)?;
    if mode == "delete" {
        Ok(())
    } else {
        Err(Fault::Damaged(format!(
            "the copy stays in journal mode {mode}"
        )))
    }
}

fn open_alone(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).doing("opening the copy")
}
