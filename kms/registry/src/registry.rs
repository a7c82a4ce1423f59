//! The registry in one SQLite file.

mod alarm;
mod backup;
mod certify;
mod cleared;
mod examine;
mod history;
mod migrate;
mod record;
mod register;
mod signable;
mod transition;
mod usage;
mod writer;

pub use alarm::Alarm;
pub use backup::{BackupError, RestoreError, Restored};
pub use certify::{CertifyError, certificate_ends, certified_key};
pub use cleared::{FLEET_AGE_MAX_S, KeptClearance, PlanRefusal};
pub use history::AppliedChange;
pub use record::KeyRecord;
pub use register::{KEYS_MAX, NewKey, RegisterError};
pub use signable::{NotSignable, Signable};
pub use transition::{Change, ChangeError, REASON_MAX};
pub use usage::{CLIENT_MAX, CountError, Counted};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use obol_credential::UnixTime;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::fault::{Doing, Fault, OpenError};
use crate::files::{Disk, Files, folder_of};
use crate::roster::{Roster, RosterHash};
use crate::settings::Settings;
use crate::spki::SpkiId;
use crate::statement::RegistryId;
use usage::Reserved;
use writer::Writer;

/// How long a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Every key there has been, its state, and who let it be so.
///
/// Several processes may have one file open: a daemon that signs, and an officer's command that
/// suspends. Each method is one transaction; when it returns `Ok`, what it did is on the disk.
/// Methods block and may be called from many threads.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    identity: Identity,
    writer: Mutex<Writer>,
    reader: Mutex<Connection>,
    reserved: Mutex<Reserved>,
}

/// What is fixed for one life of a registry.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: RegistryId,
    pub(crate) created_at: UnixTime,
    pub(crate) roster: Roster,
    pub(crate) settings: Settings,
}

impl Registry {
    /// Makes a registry (mode 0600) with this roster pinned. `id` is 16 random bytes.
    ///
    /// # Errors
    /// [`OpenError::Exists`]: nothing is overwritten. What an interrupted creation left is.
    pub fn create(
        path: &Path,
        roster: &Roster,
        settings: Settings,
        id: RegistryId,
        now: UnixTime,
    ) -> Result<Registry, OpenError> {
        Registry::create_in(&Disk, path, roster, settings, id, now)
    }

    /// As [`Registry::create`], on another file system.
    ///
    /// # Errors
    /// As [`Registry::create`].
    pub fn create_in(
        files: &dyn Files,
        path: &Path,
        roster: &Roster,
        settings: Settings,
        id: RegistryId,
        now: UnixTime,
    ) -> Result<Registry, OpenError> {
        let failed = |source: std::io::Error| OpenError::Open {
            path: path.to_owned(),
            source: source.into(),
        };
        match files.create(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
        .map_err(failed)?;
        // SQLite syncs a folder as well, and keeps an error of that to itself.
        files.sync_folder(folder_of(path)).map_err(failed)?;
        let mut connection = connect(path)?;
        let identity = Identity {
            id,
            created_at: now,
            roster: roster.clone(),
            settings,
        };
        migrate::create(&mut connection, path, &identity)?;
        drop(connection);
        Registry::open_in(files, path)
    }

    /// Opens a registry, bringing its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`]: missing, not a registry, newer than this program, or damaged.
    pub fn open(path: &Path) -> Result<Registry, OpenError> {
        Registry::open_in(&Disk, path)
    }

    /// As [`Registry::open`], on another file system.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_in(files: &dyn Files, path: &Path) -> Result<Registry, OpenError> {
        if !files.exists(path) {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let mut writer = connect(path)?;
        writer::sync_what_was_found(&writer)?;
        migrate::migrate(&mut writer, path)?;
        let identity = migrate::identity(&writer)?;
        let reader = connect(path)?;
        Ok(Registry {
            path: path.to_owned(),
            identity,
            writer: Mutex::new(Writer::new(writer)),
            reader: Mutex::new(reader),
            reserved: Mutex::default(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of this life of the registry.
    #[must_use]
    pub fn id(&self) -> RegistryId {
        self.identity.id
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> UnixTime {
        self.identity.created_at
    }

    /// Who may approve what.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.identity.roster
    }

    /// The hash that was pinned when the registry was made.
    #[must_use]
    pub fn roster_hash(&self) -> RosterHash {
        self.identity.roster.hash()
    }

    /// The times that states wait for.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.identity.settings
    }

    /// Every key there has been, in the order of registration.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn list(&self) -> Result<Vec<KeyRecord>, Fault> {
        self.read(record::all)
    }

    /// One key; `None` when it was never registered.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn key(&self, spki: SpkiId) -> Result<Option<KeyRecord>, Fault> {
        self.read(|connection| record::one(connection, spki))
    }

    /// What has happened to a key, oldest first.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn history(&self, spki: SpkiId) -> Result<Vec<AppliedChange>, Fault> {
        self.read(|connection| history::of(connection, spki))
    }

    /// Attempts to use keys that must not be used.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn alarms(&self) -> Result<Vec<Alarm>, Fault> {
        self.read(alarm::all)
    }

    /// Examines the whole file: SQLite's own checks, and whether every key's state follows from its
    /// history, with every approval it took.
    ///
    /// # Errors
    /// [`Fault::Damaged`] names the first contradiction.
    pub fn examine(&self) -> Result<(), Fault> {
        self.read(|connection| examine::whole(connection, &self.identity))
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        const DOING: &str = "reading the registry";
        let mut reader = lock(&self.reader);
        let snapshot = reader.transaction().doing(DOING)?;
        work(&snapshot)
    }

    /// Runs `work` as one transaction; an error rolls back. The write lock is taken first, so what
    /// `work` reads stays true until it commits.
    fn write<T, E: From<Fault>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        lock(&self.writer).write(doing, work)
    }
}

pub(crate) fn write_on<T, E: From<Fault>>(
    connection: &mut Connection,
    doing: &'static str,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing(doing)?;
    let answer = work(&transaction)?;
    transaction.commit().doing(doing)?;
    Ok(answer)
}

/// A panic inside a transaction has rolled it back, so what the lock guards is sound.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        writer::demand_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // SQLite keeps an error of a checkpoint of its own to itself; the writer makes them.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open().map_err(|source: rusqlite::Error| OpenError::Open {
        path: path.to_owned(),
        source: source.into(),
    })
}
