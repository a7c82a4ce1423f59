//! What the issuer must never forget, in SQLite: which status index and device key each credential
//! has, who is suspended or revoked, answers by idempotency key, quotas.

mod backup;
mod denied;
mod lock;
mod members;
mod purge;
mod quota;
mod replay;
mod reserve;
mod schema;
mod seal;
mod standing;
mod threads;

use std::path::Path;
use std::sync::Arc;

use miette::Diagnostic;
use obol_console::FileError;
use rusqlite::Connection;
use thiserror::Error;

use lock::{Lock, Unlockable};
use threads::{Readers, Writer};

pub use backup::{BackupError, Examined, Restore, back_up, examine, restore};
pub use denied::DeniedIndexes;
pub use members::{CodeVerdict, Member};
pub(crate) use purge::Purged;
pub use replay::{CredentialRecord, RequestKey};
pub(crate) use reserve::{Batch, CANDIDATES, Reservation, ReserveRefused, Reserved};
pub use seal::RestorePoint;
pub use standing::{Change, ChangeRefused, Handle, Standing, StandingRecord, Target};

/// Why the register did not do what it was asked.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum RegisterError {
    /// The file cannot be made.
    #[error("the issuer's register cannot be made")]
    #[diagnostic(help("check the folder of the file named by `database`"))]
    File(#[source] Arc<FileError>),
    /// SQLite failed; nothing was changed.
    #[error("the issuer's register failed")]
    #[diagnostic(help(
        "check the file named by `database`: its folder, its rights, the disk's room"
    ))]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The file was written by another release.
    #[error("the register has version {0}, and this release knows versions up to {known}", known = schema::VERSION)]
    #[diagnostic(help("run the release that wrote the file named by `database`"))]
    Version(i32),
    /// A row does not read back as what was written.
    #[error("the register is damaged: {0}")]
    #[diagnostic(help("restore the file named by `database` from its last backup"))]
    Damaged(&'static str),
    /// It is being restored.
    #[error("the register {} is being restored", .0.display())]
    #[diagnostic(help("wait until `obol-issuer restore` has ended"))]
    BeingRestored(Arc<std::path::PathBuf>),
    /// The lock beside the file cannot be taken.
    #[error("the lock of the register {} cannot be taken", path.display())]
    #[diagnostic(help("check the folder of the file named by `database`, and its rights"))]
    Lock {
        /// The register.
        path: Arc<std::path::PathBuf>,
        /// The system's answer.
        source: Arc<std::io::Error>,
    },
    /// The threads are gone.
    #[error("the register has stopped")]
    Stopped,
}

impl From<rusqlite::Error> for RegisterError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

/// The register; dropping it waits until what was ordered is committed.
#[derive(Debug)]
pub struct Register {
    writer: Writer,
    readers: Readers,
    _lock: Lock,
}

impl Register {
    /// Opens the database, or makes it, readable by its owner alone.
    ///
    /// # Errors
    /// [`RegisterError::File`], [`RegisterError::Storage`], [`RegisterError::Version`] and
    /// [`RegisterError::BeingRestored`].
    pub fn open(path: &Path) -> Result<Self, RegisterError> {
        let lock = Lock::shared(path).map_err(|cause| unlockable(path, cause))?;
        let writer = Writer::start(schema::open(path)?);
        let readers = Readers::start(|| schema::open_for_reading(path))?;
        Ok(Self {
            writer,
            readers,
            _lock: lock,
        })
    }

    /// Runs `act` in a transaction that it shares with whatever else waits; durable when this
    /// returns. An error undoes what `act` did, and nothing else.
    pub(crate) async fn write<T, E>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RegisterError> + Send + 'static,
    {
        self.writer.write(act).await
    }

    /// As [`Register::write`], without waiting for the disk: what a crash loses can be made again.
    pub(crate) async fn write_later(
        &self,
        act: impl FnOnce(&Connection) -> Result<(), RegisterError> + Send + 'static,
    ) -> Result<(), RegisterError> {
        self.writer.write_later(act).await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, RegisterError> + Send + 'static,
    ) -> Result<T, RegisterError> {
        self.readers.read(look).await
    }

    /// Whether a write is durable in time: the first byte of the disk that fails is noticed here.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn check(&self) -> Result<(), RegisterError> {
        self.write(|connection| {
            connection.execute("UPDATE probe SET count = count + 1", [])?;
            Ok(())
        })
        .await
    }
}

fn unlockable(path: &Path, cause: Unlockable) -> RegisterError {
    let path = Arc::new(path.to_owned());
    match cause {
        Unlockable::Held => RegisterError::BeingRestored(path),
        Unlockable::Failed(source) => RegisterError::Lock {
            path,
            source: Arc::new(source),
        },
    }
}

#[cfg(test)]
mod tests;
