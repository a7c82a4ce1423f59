//! Who works on a register's file: any number of processes at a time, or one that restores it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held while a register is open; the file beside it outlives a register that was moved away.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// The lock is not to be had.
#[derive(Debug)]
pub(super) enum Unlockable {
    /// Another process holds it.
    Held,
    /// The system's answer.
    Failed(io::Error),
}

impl Lock {
    /// For work on a register beside others.
    pub(super) fn shared(register: &Path) -> Result<Self, Unlockable> {
        let file = open(register).map_err(Unlockable::Failed)?;
        taken(file.try_lock_shared(), file)
    }

    /// For a restore, alone.
    pub(super) fn alone(register: &Path) -> Result<Self, Unlockable> {
        let file = open(register).map_err(Unlockable::Failed)?;
        taken(file.try_lock(), file)
    }
}

fn taken(tried: Result<(), TryLockError>, file: File) -> Result<Lock, Unlockable> {
    match tried {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(Unlockable::Held),
        Err(TryLockError::Error(error)) => Err(Unlockable::Failed(error)),
    }
}

fn open(register: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(beside(register, ".lock"))
}

/// A register's path with more at its end.
pub(super) fn beside(register: &Path, suffix: &str) -> PathBuf {
    let mut name = register.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
