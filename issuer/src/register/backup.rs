//! Copies of a register: made while it is in use, examined, and brought back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_credential::{Kid, UnixTime};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::lock::{Lock, Unlockable, beside};
use super::{DeniedIndexes, RegisterError, schema};

/// Tables whose rows an examination counts.
const COUNTED: [&str; 8] = [
    "issued",
    "request",
    "usage",
    "standing",
    "standing_change",
    "enrolment",
    "member",
    "restoration",
];
/// What SQLite leaves beside a database that was not closed in order.
const LEFT: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What an examination found, all of it in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The schema's version.
    pub version: i32,
    /// Rows of each table.
    pub rows: Vec<(&'static str, u64)>,
    /// Of the file; `None` while it is in use.
    pub sha256: Option<[u8; 32]>,
}

/// What a restore is told.
#[derive(Clone, Debug)]
pub struct Restore {
    /// The moment; everything that was issued up to it and is not in the backup is unknown.
    pub at: UnixTime,
    /// Keys that have never signed: they may sign at once.
    pub fresh: Vec<Kid>,
    /// Denied indexes as they were published last.
    pub denied: Vec<DeniedIndexes>,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, Error, Diagnostic)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{} exists already", .0.display())]
    #[diagnostic(help("choose another path, or move that file away first; nothing was changed"))]
    Exists(PathBuf),
    /// A service or command has the register open.
    #[error("the register {} is in use", .0.display())]
    #[diagnostic(help("stop the issuer that was started on it; nothing was changed"))]
    InUse(PathBuf),
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    #[diagnostic(help("check the path, its folder, your rights and the disk's room"))]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no register, or not a whole one.
    #[error("{} is no whole register: {reason}", path.display())]
    #[diagnostic(
        code(refused::register),
        help("take another backup; this one is not used")
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        reason: String,
    },
    /// A key that is said to be fresh has signed.
    #[error("key {0} is not fresh: the backup has credentials of it")]
    #[diagnostic(
        code(refused::fresh_key),
        help("name a key whose use count at the key management daemon is 0")
    )]
    NotFresh(Kid),
    /// The register failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Register(#[from] RegisterError),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        RegisterError::from(error).into()
    }
}

/// Copies a register into one new file (mode 0600) while it is in use, examines the copy and makes
/// it durable. What commits while it is copied is not in it.
///
/// # Errors
/// [`BackupError`]; no file is left behind under that name.
pub fn back_up(register: &Path, to: &Path) -> Result<Examined, BackupError> {
    let source = open(register)?;
    let part = Part::beside(to)?;
    copy(&source, &part.path)?;
    let examined = examine(&part.path)?;
    part.become_file(to)?;
    Ok(examined)
}

/// Examines a register or a backup: SQLite's own checks, the schema's version, rows, hash.
///
/// # Errors
/// [`BackupError::Damaged`] with the first thing that is wrong.
pub fn examine(path: &Path) -> Result<Examined, BackupError> {
    let connection = open(path)?;
    let damaged = |reason: String| BackupError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let of_sqlite = |error: rusqlite::Error| damaged(error.to_string());
    let version: i32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(of_sqlite)?;
    if !(1..=schema::VERSION).contains(&version) {
        let known = schema::VERSION;
        return Err(damaged(format!(
            "its version is {version}, not 1 to {known}"
        )));
    }
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(of_sqlite)?;
    if said != "ok" {
        return Err(damaged(said));
    }
    let stray: Option<String> = connection
        .query_row("PRAGMA foreign_key_check", [], |row| row.get(0))
        .optional()
        .map_err(of_sqlite)?;
    if let Some(table) = stray {
        return Err(damaged(format!("a row of {table} refers to nothing")));
    }
    let mut rows = Vec::new();
    for table in COUNTED {
        const THERE: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let there: i64 = connection
            .query_row(THERE, [table], |row| row.get(0))
            .map_err(of_sqlite)?;
        if there == 1 {
            let count = format!("SELECT count(*) FROM {table}");
            let count: i64 = connection
                .query_row(&count, [], |row| row.get(0))
                .map_err(of_sqlite)?;
            rows.push((table, count.unsigned_abs()));
        }
    }
    drop(connection);
    let in_use = beside(path, "-wal")
        .metadata()
        .is_ok_and(|wal| wal.len() > 0);
    let sha256 = if in_use { None } else { Some(hash(path)?) };
    Ok(Examined {
        version,
        rows,
        sha256,
    })
}

/// Makes a register from a backup where there is none. What was issued since the backup is not in
/// it, so its keys sign again on the next day (UTC): see [`super::RestorePoint`].
///
/// # Errors
/// [`BackupError`]; the backup is untouched and nothing is left behind at `to`.
pub fn restore(backup: &Path, to: &Path, asked: &Restore) -> Result<Examined, BackupError> {
    let _alone = Lock::alone(to).map_err(|cause| match cause {
        Unlockable::Held => BackupError::InUse(to.to_owned()),
        Unlockable::Failed(source) => file_error(to)(source),
    })?;
    // A log of the register that stood here would be played into the new one.
    let left = LEFT.iter().map(|suffix| beside(to, suffix));
    if let Some(path) = std::iter::once(to.to_owned())
        .chain(left)
        .find(|path| path.exists())
    {
        return Err(BackupError::Exists(path));
    }
    // A log beside it would be half of the copy.
    let in_use = || BackupError::InUse(backup.to_owned());
    let sha256 = examine(backup)?.sha256.ok_or_else(in_use)?;
    let source = open(backup)?;
    let part = Part::beside(to)?;
    copy(&source, &part.path)?;
    let mut connection = schema::open(&part.path)?;
    revive(&mut connection, asked, sha256)?;
    // One file, without a log beside it.
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    drop(connection);
    let examined = examine(&part.path)?;
    part.become_file(to)?;
    Ok(examined)
}

fn revive(
    connection: &mut Connection,
    asked: &Restore,
    backup: [u8; 32],
) -> Result<(), BackupError> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "INSERT INTO restoration (at, backup) VALUES (?1, ?2)",
        params![asked.at.0, backup],
    )?;
    let number = transaction.last_insert_rowid();
    for kid in &asked.fresh {
        const USED: &str = "SELECT EXISTS (SELECT 1 FROM issued WHERE kid = ?1)";
        if transaction.query_row(USED, [kid.0], |row| row.get(0))? {
            return Err(BackupError::NotFresh(*kid));
        }
        const FRESH: &str = "INSERT OR IGNORE INTO fresh_key (restoration, kid) VALUES (?1, ?2)";
        transaction.execute(FRESH, params![number, kid.0])?;
    }
    for list in &asked.denied {
        const CARRIED: &str = "INSERT OR IGNORE INTO carried (kid, epoch, status_index) \
                               VALUES (?1, ?2, ?3)";
        for index in &list.indexes {
            transaction.execute(CARRIED, params![list.kid.0, list.epoch, index])?;
        }
    }
    // A code that was used since the backup would be good once more.
    transaction.execute(
        "UPDATE enrolment SET tries_left = 0 WHERE used_by IS NULL",
        [],
    )?;
    transaction.commit()?;
    Ok(())
}

fn open(path: &Path) -> Result<Connection, BackupError> {
    // SQLite would say no more than that it cannot open it.
    File::open(path).map_err(file_error(path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(schema::BUSY_DEADLINE)?;
    Ok(connection)
}

/// All pages in one step, which is one moment of the register: what is written meanwhile waits for
/// nothing (it goes to the log), and does not begin the copy anew.
fn copy(source: &Connection, to: &Path) -> Result<(), BackupError> {
    let mut target = Connection::open(to)?;
    Backup::new(source, &mut target)?.step(-1)?;
    target.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(())
}

fn hash(path: &Path) -> Result<[u8; 32], BackupError> {
    let mut file = File::open(path).map_err(file_error(path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk).map_err(file_error(path))? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&chunk[..read]),
        }
    }
}

/// A file that becomes what it is for, whole, or goes away.
struct Part {
    path: PathBuf,
}

impl Part {
    fn beside(to: &Path) -> Result<Self, BackupError> {
        if to.exists() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let path = beside(to, ".part");
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(_) => Ok(Self { path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Exists(path))
            }
            Err(error) => Err(file_error(&path)(error)),
        }
    }

    /// Under its name for good; a name that was taken meanwhile stays what it is.
    fn become_file(self, to: &Path) -> Result<(), BackupError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_all());
        synced.map_err(file_error(&self.path))?;
        match fs::hard_link(&self.path, to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists(to.to_owned()));
            }
            Err(error) => return Err(file_error(to)(error)),
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(file_error(folder))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            // It is not there, or it stays as the rest of a copy that nobody takes for one.
            fs::remove_file(beside(&self.path, suffix)).ok();
        }
    }
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File {
        path: path.clone(),
        source,
    }
}
