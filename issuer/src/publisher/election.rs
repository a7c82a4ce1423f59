//! One publisher at a time: whoever holds the lock on the repository's folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// The file whose lock decides. It lies beside the repository, not in it: it is nobody's to read.
#[derive(Clone, Debug)]
pub struct Election {
    path: PathBuf,
}

/// This process publishes, until the value is dropped or the process ends.
#[derive(Debug)]
pub struct Elected {
    _lock: File,
}

/// The lock cannot be tried.
#[derive(Debug, Error, Diagnostic)]
#[error("the lock {} cannot be tried", path.display())]
#[diagnostic(help("check the folder, its rights, and that its file system knows locks"))]
pub struct ElectionError {
    path: PathBuf,
    source: io::Error,
}

impl Election {
    /// Over the lock `publisher.lock` in `state`, a folder that all candidates share.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let path = state.join("publisher.lock");
        Self { path }
    }

    /// Tries to be the one; `None` while another process is.
    ///
    /// # Errors
    /// [`ElectionError`].
    pub fn stand(&self) -> Result<Option<Elected>, ElectionError> {
        let failed = |source| ElectionError {
            path: self.path.clone(),
            source,
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Elected { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
