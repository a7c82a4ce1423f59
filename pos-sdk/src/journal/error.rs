use std::path::PathBuf;

use miette::Diagnostic;
use obol_tap::{Epoch, Head, SegmentRefusal};
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why the journal cannot do what was asked. Nothing was dropped.
#[derive(Debug, Error, Diagnostic)]
pub enum JournalError {
    /// No file at this path.
    #[error("there is no journal at {}", path.display())]
    #[diagnostic(help("check the path; a new terminal makes its journal together with its key"))]
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// A journal that was to be made is there already.
    #[error("there is a journal at {} already", path.display())]
    #[diagnostic(help("use it as it is; it may hold rides that nobody was charged for yet"))]
    Exists {
        /// The path asked for.
        path: PathBuf,
    },
    /// Another process, or this one, takes rides with the journal.
    #[error("the journal {} is in use", path.display())]
    #[diagnostic(help("stop the other process of this terminal; a journal has one writer"))]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// The file, or the one beside it that its writer locks, cannot be made.
    #[error("cannot make or lock the journal {}", path.display())]
    #[diagnostic(help("check that its folder exists and that you may write to it"))]
    File {
        /// The journal.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file, but not a journal.
    #[error("{} is not a journal", path.display())]
    #[diagnostic(help(
        "check the path; if it is right, keep the file for repair and do not overwrite it"
    ))]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The journal of another terminal.
    #[error("the journal {} belongs to terminal {found:?}, not {expected:?}", path.display())]
    #[diagnostic(help("give each terminal a folder of its own"))]
    AnotherTerminal {
        /// The journal.
        path: PathBuf,
        /// The terminal asked for.
        expected: String,
        /// The terminal the journal names.
        found: String,
    },
    /// The stored bytes are not those that were written.
    #[error("the journal {} is damaged at record {seq}: {what}", path.display())]
    #[diagnostic(help(
        "run `obol-pos journal repair`: it keeps this file and says what it could not bring back"
    ))]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The first record that is not as it was written.
        seq: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Damage outside the records.
    #[error("the journal {} is damaged outside its records: {what}", path.display())]
    #[diagnostic(help(
        "run `obol-pos journal repair`: it keeps this file and says what it could not bring back"
    ))]
    DamagedFile {
        /// The journal.
        path: PathBuf,
        /// What SQLite or the check says.
        what: String,
    },
    /// SQLite failed otherwise: a full disk, a read-only one, an I/O error.
    #[error("cannot {doing} the journal {}", path.display())]
    #[diagnostic(help("check that the disk has room, is writable and is healthy"))]
    Storage {
        /// The journal.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The records do not make a segment that a platform would read.
    #[error("cannot make a segment of the journal {}", path.display())]
    #[diagnostic(help("run the journal's check: a record is not as it was written"))]
    Segment {
        /// The journal.
        path: PathBuf,
        /// The rule that is broken.
        source: SegmentRefusal,
    },
}

impl JournalError {
    /// Sorts what SQLite says into lock, foreign file, damage and failure.
    pub(crate) fn of(path: PathBuf, doing: &'static str, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::CannotOpen) if !path.exists() => Self::Missing { path },
            Some(ErrorCode::NotADatabase) => Self::NotAJournal { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::DamagedFile {
                path,
                what: source.to_string(),
            },
            _ => Self::Storage {
                path,
                doing,
                source,
            },
        }
    }
}

/// Why an acknowledgement does not move the watermark. The journal keeps everything, and the same
/// upload can be repeated.
#[derive(Debug, Error, Diagnostic)]
pub enum AcknowledgementRefused {
    /// It speaks of another journal.
    #[error("the platform acknowledges journal {found}, not {expected}")]
    #[diagnostic(help("check that the upload went to the platform of this deployment"))]
    AnotherEpoch {
        /// This journal.
        expected: Epoch,
        /// The journal acknowledged.
        found: Epoch,
    },
    /// The platform holds other bytes at this place.
    #[error("the platform holds another record {seq} of this journal")]
    #[diagnostic(help(
        "the journal was copied or restored from a backup: take the terminal out of service and \
         keep the file"
    ))]
    Conflict {
        /// The record.
        seq: u64,
    },
    /// The platform holds no more than before.
    #[error("the platform still stands at record {found} after an upload from {expected} on")]
    #[diagnostic(help("look into the platform's log for the reason, then upload again"))]
    NoProgress {
        /// The first record of the upload.
        expected: u64,
        /// The watermark acknowledged.
        found: u64,
    },
    /// The platform holds more than this journal does.
    #[error("the platform holds record {found}, but the journal ends with {last}")]
    #[diagnostic(help(
        "the journal lost records at its end: take the terminal out of service and keep the file"
    ))]
    Ahead {
        /// The watermark acknowledged.
        found: u64,
        /// The journal's last record.
        last: u64,
    },
    /// The platform holds something else.
    #[error("the platform's head at record {seq} is {found}, the journal's is {expected}")]
    #[diagnostic(help("take the terminal out of service and keep the file for comparison"))]
    AnotherHead {
        /// The watermark acknowledged.
        seq: u64,
        /// The journal's head there.
        expected: Head,
        /// The head acknowledged.
        found: Head,
    },
    /// The watermark could not be stored.
    #[error("cannot move the watermark")]
    Journal {
        /// Why.
        #[source]
        #[diagnostic_source]
        source: JournalError,
    },
}
