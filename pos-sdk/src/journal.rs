//! The terminal's memory of rides: one SQLite file, hash-chained, append-only.

mod check;
mod clock;
mod error;
mod file;
mod refusals;
mod repair;
mod rides;
mod salvage;
mod schema;
mod seal;
mod tidy;
mod uplink;
mod writer;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use obol_credential::{Cti, Encoded, Kid, UnixTime};
use obol_tap::{Epoch, FareCharged, Head, TapRecord, TerminalName};
use obol_verifier_sdk::{CodeIdentity, Verified};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

pub use clock::StoredClock;
pub use error::{AcknowledgementRefused, JournalError};
pub use file::{JournalFile, StoredRecord};
pub use refusals::{REFUSALS_MAX, StoredRefusal};
pub use repair::{Exported, Repaired, export, repair};
use schema::Content;
pub use seal::{KeyFault, SealError, SealedSegment, Sealing, Seals, SegmentKey};
use writer::Writer;

/// A terminal's journal, open to take rides: one process at a time, while others may read it and
/// upload from it as a [`JournalFile`]. What it holds is never changed, and nothing is deleted that
/// the platform does not hold.
#[derive(Debug)]
pub struct Journal {
    file: JournalFile,
    /// `None` after a failed write: what the file holds is then read again.
    tail: Option<Tail>,
    refusals: u64,
    _writer: Writer,
}

#[derive(Clone, Copy, Debug)]
struct Tail {
    seq: u64,
    head: Head,
}

/// Taps between two copies of the WAL into the main file: about a megabyte.
const CHECKPOINT_EVERY: u64 = 64;

/// A tap that is on disk: the commit's fsync has returned. Comes from [`Journal`] alone.
#[derive(Debug)]
#[must_use = "the rider has paid: open the gate"]
pub struct Durable {
    record: TapRecord,
}

/// A tap whose gate may open. Made from [`Durable`] alone; once the gate is open, it is given to
/// [`Journal::opened`].
#[derive(Debug)]
#[must_use = "open the gate, then tell the journal"]
pub struct Granted {
    record: TapRecord,
}

/// What one credential has paid at this terminal in the last two days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The latest tap.
    pub last: Option<UnixTime>,
    /// Taps since the time asked for.
    pub count: u32,
}

impl Durable {
    /// The record on disk.
    #[must_use]
    pub fn record(&self) -> &TapRecord {
        &self.record
    }

    /// Leave to open the gate: the tap is on disk.
    pub fn grant(self) -> Granted {
        Granted {
            record: self.record,
        }
    }
}

impl Granted {
    /// The record on disk.
    #[must_use]
    pub fn record(&self) -> &TapRecord {
        &self.record
    }
}

/// What the journal knows of a boarding code.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // lives for one scan and is never kept
pub enum Recorded {
    /// Nothing.
    No,
    /// Paid, and the gate was opened for it.
    Granted,
    /// Paid, but nothing says that the gate was opened.
    Unopened(Durable),
}

/// A journal is its file, with the right to append.
impl Deref for Journal {
    type Target = JournalFile;

    fn deref(&self) -> &JournalFile {
        &self.file
    }
}

impl DerefMut for Journal {
    fn deref_mut(&mut self) -> &mut JournalFile {
        &mut self.file
    }
}

impl Journal {
    /// Makes a journal, readable by its owner alone. `epoch` is 64 random bits.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one, and what SQLite says otherwise.
    pub fn create(
        path: &Path,
        terminal: &TerminalName,
        epoch: Epoch,
    ) -> Result<Self, JournalError> {
        let failed = |source| JournalError::of(path.to_owned(), "make", source);
        let writer = Writer::of(path)?;
        writer::make_private(path)?;
        let mut connection = schema::connect(path).map_err(failed)?;
        match schema::content(&connection).map_err(failed)? {
            Content::Empty => schema::create(&mut connection, terminal, epoch).map_err(failed)?,
            Content::Journal => return Err(JournalError::Exists { path: path.into() }),
            Content::Foreign => return Err(JournalError::NotAJournal { path: path.into() }),
        }
        drop(connection);
        Self::open_as(writer, path, terminal)
    }

    /// Opens the journal of `terminal` to take rides, and checks its last thousand records.
    ///
    /// # Errors
    /// [`JournalError`]: missing, in use, foreign, damaged, or what SQLite says.
    pub fn open(path: &Path, terminal: &TerminalName) -> Result<Self, JournalError> {
        if !path.exists() {
            return Err(JournalError::Missing { path: path.into() });
        }
        Self::open_as(Writer::of(path)?, path, terminal)
    }

    fn open_as(writer: Writer, path: &Path, terminal: &TerminalName) -> Result<Self, JournalError> {
        let (file, tail) = JournalFile::open_with_tail(path, terminal)?;
        let refusals = file.refusals_ever()?;
        Ok(Self {
            file,
            tail: Some(tail),
            refusals,
            _writer: writer,
        })
    }

    /// Writes a ride down that began in fare zone `zone`, 0 for none. Returns after the commit's fsync, or not at all.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: the ride was not recorded, as far as the disk tells. Should it
    /// be there after all, [`Journal::recorded`] will know.
    pub fn append(
        &mut self,
        verified: Verified,
        fare: FareCharged,
        flags: u8,
        zone: u8,
    ) -> Result<Durable, JournalError> {
        let tail = self.known_tail()?;
        let record = TapRecord {
            seq: tail.seq + 1,
            accepted_at: verified.at(),
            terminal: self.file.terminal.clone(),
            presentation: Encoded::copy_of(verified.presentation())
                .expect("a verified presentation has at most PRESENTATION_MAX bytes"),
            fare,
            flags,
            zone: Some(zone),
        };
        let bytes = record.encode();
        let head = tail.head.then(&bytes);
        self.tail = None;
        self.insert(&record, &bytes, head, &verified.identity())
            .map_err(self.file.not_written("write to"))?;
        self.tail = Some(Tail {
            seq: record.seq,
            head,
        });
        Ok(Durable { record })
    }

    fn insert(
        &self,
        record: &TapRecord,
        bytes: &[u8],
        head: Head,
        code: &CodeIdentity,
    ) -> rusqlite::Result<()> {
        schema::sync_commits(&self.file.connection)?;
        let alone = self.alone()?;
        alone
            .prepare_cached("INSERT INTO record (seq, bytes, head) VALUES (?1, ?2, ?3)")?
            .execute(params![record.seq, bytes, head.0])?;
        schema::index(&alone, code, record.seq, record.accepted_at)?;
        alone.commit()
    }

    fn alone(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.file.connection, TransactionBehavior::Immediate)
    }

    /// Notes that the gate is open. Until then the same code, within its window, opens it again.
    ///
    /// The note costs no fsync of its own. It survives the process; should the power fail before
    /// the next tap, the same code would open the gate once more within its window. Here, when the
    /// rider has gone through, the journal also tidies up.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: the tap stays as it was, paid and unopened.
    pub fn opened(&mut self, granted: Granted, at: UnixTime) -> Result<(), JournalError> {
        let Granted { record } = granted;
        self.file.ready()?;
        self.note(&record, at)
            .map_err(self.file.not_written("mark the gate's opening in"))?;
        if record.seq.is_multiple_of(tidy::EVERY) {
            self.file.tidy(record.accepted_at)?;
        }
        if record.seq.is_multiple_of(CHECKPOINT_EVERY) {
            schema::checkpoint(&self.file.connection).map_err(self.file.not_written("write to"))?;
        }
        Ok(())
    }

    fn note(&self, record: &TapRecord, at: UnixTime) -> rusqlite::Result<()> {
        schema::defer_commits(&self.file.connection)?;
        let alone = self.alone()?;
        alone
            .prepare_cached("INSERT OR IGNORE INTO granted (seq, at) VALUES (?1, ?2)")?
            .execute(params![record.seq, at.0])?;
        alone.commit()
    }

    /// What the journal knows of a boarding code.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn recorded(&self, code: &CodeIdentity) -> Result<Recorded, JournalError> {
        let found: Option<(Option<Vec<u8>>, bool)> = self
            .connection
            .prepare_cached(
                "SELECT record.bytes, granted.seq IS NOT NULL
                 FROM code LEFT JOIN record ON record.seq = code.seq
                 LEFT JOIN granted ON granted.seq = code.seq
                 WHERE cti = ?1 AND kid = ?2 AND issued_at = ?3 AND nonce = ?4",
            )
            .and_then(|mut statement| {
                let key = params![code.cti.0, code.kid.0, code.issued_at.0, code.nonce.0];
                statement
                    .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(self.file.failed("read"))?;
        match found {
            None => Ok(Recorded::No),
            // Known, and by now with the platform alone.
            Some((_, true) | (None, _)) => Ok(Recorded::Granted),
            Some((Some(bytes), false)) => {
                let record = self.file.decode(&bytes)?;
                Ok(Recorded::Unopened(Durable { record }))
            }
        }
    }

    /// What the credential has paid here: its latest tap, and how many since `since`.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn uses(&self, kid: Kid, cti: Cti, since: UnixTime) -> Result<Uses, JournalError> {
        self.file
            .connection
            .prepare_cached(
                "SELECT max(accepted_at), count(*) FILTER (WHERE accepted_at >= ?3)
                 FROM code WHERE cti = ?1 AND kid = ?2",
            )
            .and_then(|mut statement| {
                statement.query_row(params![cti.0, kid.0, since.0], |row| {
                    let last: Option<u32> = row.get(0)?;
                    Ok(Uses {
                        last: last.map(UnixTime),
                        count: row.get(1)?,
                    })
                })
            })
            .map_err(self.file.failed("read"))
    }

    fn known_tail(&mut self) -> Result<Tail, JournalError> {
        self.file.ready()?;
        let tail = match self.tail {
            Some(tail) => tail,
            None => self.file.check_end()?,
        };
        self.tail = Some(tail);
        Ok(tail)
    }
}

/// The file beside a journal that has this at the end of its name.
fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    PathBuf::from(beside)
}
