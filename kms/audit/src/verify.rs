//! Checking a log offline, byte for byte, from its files and what is known from elsewhere.
//!
//! The entries are hashed again in one pass. A tree head that was signed says whether they are all
//! there; the tiles say where it went wrong, and are compared with what the entries give.

mod files;
mod walk;

use std::fmt;
use std::io;

use obol_log::{Checkpoint, Hash, LogKey, Note, WitnessKey};
use thiserror::Error;

use crate::storage::Storage;

/// What a log was found to hold, when nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries in the log.
    pub entries: u64,
    /// Entries that the log's own last checkpoint covers; `None` before the first.
    pub checkpoint: Option<u64>,
    /// Entries that a checkpoint with a witness's cosignature covers, of those given and the one in
    /// the folder; `None` without any.
    pub witnessed: Option<u64>,
    /// Files compared.
    pub files: u64,
    /// A write that a crash interrupted; nobody was told that it had ended.
    pub torn: Option<Torn>,
}

/// The rest of a write that never ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: String,
    /// Where the rest begins.
    pub at: usize,
}

/// Whom to believe.
#[derive(Clone, Debug, Default)]
pub struct Witnesses<'a> {
    /// Keys of witnesses; the folder's cosigned checkpoint must carry one of theirs.
    pub keys: &'a [WitnessKey],
    /// Checkpoint kept elsewhere, such as at the witness.
    pub kept: Option<&'a Note>,
}

/// The first thing wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An entry is not what its leaf hash says, and the signed root agrees with the hash.
    Entry {
        /// Its place in the log.
        index: u64,
        /// The file.
        path: String,
        /// Where the entry's bytes begin.
        at: usize,
    },
    /// A byte of a file is not what the entries give.
    Byte {
        /// The file.
        path: String,
        /// The first such byte.
        at: usize,
    },
    /// A file ends early or goes on too long.
    Length {
        /// The file.
        path: String,
        /// Bytes found.
        found: usize,
        /// Bytes that belong there.
        expected: usize,
    },
    /// The write-ahead file was changed.
    Journal {
        /// The file.
        path: String,
        /// Where the changed frame, or the changed byte, begins.
        at: usize,
        /// Entries before it, which are good.
        entries: u64,
        /// What stands there.
        rule: &'static str,
    },
    /// A file is missing.
    Missing {
        /// The file.
        path: String,
    },
    /// A file that no log has.
    Unexpected {
        /// The file.
        path: String,
    },
    /// A checkpoint's file is malformed or not signed by whom it should be.
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Entries that a checkpoint covers are gone: the log was truncated or rolled back.
    RolledBack {
        /// Entries found.
        found: u64,
        /// Which checkpoint.
        known: String,
        /// Entries it covers.
        size: u64,
    },
    /// Entries that a checkpoint covers are others now, and the tiles with them.
    Rewritten {
        /// Entries compared.
        size: u64,
        /// Root of the entries found.
        found: Hash,
        /// Which checkpoint.
        known: String,
        /// Its root.
        expected: Hash,
    },
}

/// Why a log is not good, or could not be checked.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Something is wrong with the log.
    #[error("{0}")]
    Found(Finding),
    /// A file could not be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file, or the folder.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The folder holds no log.
    #[error("the folder holds no log: neither a checkpoint nor a write-ahead file")]
    NoLog,
}

/// Checks a log: every byte of it, against the keys that sign its checkpoints and against what
/// witnesses have seen. Without a checkpoint from elsewhere, a log that was set back to an earlier
/// state of itself looks good: only that finds it.
///
/// # Errors
/// [`VerifyError`] with the first thing found.
pub fn verify(
    storage: &dyn Storage,
    origin: &str,
    keys: &[LogKey],
    witnesses: &Witnesses<'_>,
) -> Result<Report, VerifyError> {
    let files = files::list(storage)?;
    let heads = files::heads(storage, origin, keys, witnesses)?;
    walk::compare(storage, origin, &files, &heads)
}

/// A tree head that the log must continue.
pub(crate) struct Head {
    pub(crate) known: String,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) witnessed: bool,
}

impl From<Finding> for VerifyError {
    fn from(finding: Finding) -> Self {
        VerifyError::Found(finding)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Entry { index, path, at } => {
                write!(f, "entry {index} was changed: {path}, from byte {at}")
            }
            Finding::Byte { path, at } => write!(f, "{path} was changed at byte {at}"),
            Finding::Length {
                path,
                found,
                expected,
            } => write!(f, "{path} has {found} bytes where {expected} belong"),
            Finding::Journal {
                path,
                at,
                entries,
                rule,
            } => write!(f, "{path}, byte {at}, after entry {entries}: {rule}"),
            Finding::Missing { path } => write!(f, "{path} is missing"),
            Finding::Unexpected { path } => write!(f, "{path} belongs to no log"),
            Finding::Checkpoint { path, why } => write!(f, "{path}: {why}"),
            Finding::RolledBack { found, known, size } => write!(
                f,
                "the log was rolled back: it has {found} entries, {known} covers {size}"
            ),
            Finding::Rewritten {
                size,
                found,
                known,
                expected,
            } => write!(
                f,
                "the log was rewritten: its first {size} entries have root {found}, {known} says {expected}"
            ),
        }
    }
}
