use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{JournalError, companion};

/// The right to append to a journal: a lock on a file beside it, which the operating system takes
/// back however the process ends. SQLite's own lock would keep out those who upload as well; and a
/// lock on the journal's file itself would be lost with SQLite's handling of its own.
#[derive(Debug)]
pub(super) struct Writer {
    _lock: File,
}

impl Writer {
    pub(super) fn of(journal: &Path) -> Result<Self, JournalError> {
        let failed = |source| cannot_make(journal, source);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(companion(journal, "-writer"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked {
                path: journal.into(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// SQLite would make the file with the umask's mode, and gives its companions the mode it finds.
pub(super) fn make_private(path: &Path) -> Result<(), JournalError> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(cannot_make(path, error)),
        _ => Ok(()),
    }
}

fn cannot_make(path: &Path, source: io::Error) -> JournalError {
    JournalError::File {
        path: path.into(),
        source,
    }
}
