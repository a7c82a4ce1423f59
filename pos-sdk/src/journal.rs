//! The terminal's memory of rides: one SQLite file, hash-chained, append-only.

mod check;
mod error;
mod schema;
mod uplink;

use std::path::{Path, PathBuf};

use obol_credential::{Cti, Encoded, Kid, Nonce, UnixTime};
use obol_tap::{Epoch, FareCharged, Head, TapRecord, TerminalName};
use obol_verifier_sdk::{CodeIdentity, Verified};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

pub use error::{AcknowledgementRefused, JournalError};
use schema::Content;

/// A terminal's journal. One process has it open at a time; what it holds is never changed and
/// never deleted.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    terminal: TerminalName,
    epoch: Epoch,
    /// `None` after a failed write: what the file holds is then read again.
    tail: Option<Tail>,
}

#[derive(Clone, Copy, Debug)]
struct Tail {
    seq: u64,
    head: Head,
}

/// A tap that is on disk: the commit's fsync has returned. Comes from [`Journal`] alone.
#[derive(Debug)]
#[must_use = "the rider has paid: open the gate"]
pub struct Durable {
    record: TapRecord,
}

/// A tap whose gate may open, and is marked as opened. Made from [`Durable`] by
/// [`Journal::grant`] alone.
#[derive(Debug)]
#[must_use = "the journal says that the gate was opened"]
pub struct Granted {
    record: TapRecord,
}

impl Durable {
    /// The record on disk.
    #[must_use]
    pub fn record(&self) -> &TapRecord {
        &self.record
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

/// A record as it stands in the journal.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// The record.
    pub record: TapRecord,
    /// The head behind it.
    pub head: Head,
    /// When the gate was opened for it.
    pub granted_at: Option<UnixTime>,
}

impl Journal {
    /// Makes a journal. `epoch` is 64 random bits.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one, and what SQLite says otherwise.
    pub fn create(
        path: &Path,
        terminal: &TerminalName,
        epoch: Epoch,
    ) -> Result<Self, JournalError> {
        let failed = |source| JournalError::of(path.to_owned(), "make", source);
        let mut connection =
            schema::connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
        match schema::content(&connection).map_err(failed)? {
            Content::Empty => schema::create(&mut connection, terminal, epoch).map_err(failed)?,
            Content::Journal => return Err(JournalError::Exists { path: path.into() }),
            Content::Foreign => return Err(JournalError::NotAJournal { path: path.into() }),
        }
        drop(connection);
        Self::open(path, terminal)
    }

    /// Opens the journal of `terminal` and checks its end: everything not uploaded yet, and at
    /// least the last thousand records.
    ///
    /// # Errors
    /// [`JournalError`]: missing, in use, foreign, damaged, or what SQLite says.
    pub fn open(path: &Path, terminal: &TerminalName) -> Result<Self, JournalError> {
        let failed = |source| JournalError::of(path.to_owned(), "open", source);
        let connection = schema::connect(path, OpenFlags::empty()).map_err(failed)?;
        if schema::content(&connection).map_err(failed)? != Content::Journal {
            return Err(JournalError::NotAJournal { path: path.into() });
        }
        schema::sync_what_was_found(&connection).map_err(failed)?;
        let (found, epoch): (String, [u8; 8]) = connection
            .query_row("SELECT terminal, epoch FROM journal", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(failed)?;
        if found != terminal.as_str() {
            return Err(JournalError::AnotherTerminal {
                path: path.into(),
                expected: terminal.to_string(),
                found,
            });
        }
        let mut journal = Self {
            connection,
            path: path.to_owned(),
            terminal: terminal.clone(),
            epoch: Epoch(epoch),
            tail: None,
        };
        journal.tail = Some(journal.check_end()?);
        Ok(journal)
    }

    /// Writes a ride down. Returns after the commit's fsync, or not at all.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: the ride was not recorded, as far as the disk tells. Should it
    /// be there after all, [`Journal::recorded`] will know.
    pub fn append(
        &mut self,
        verified: Verified,
        fare: FareCharged,
    ) -> Result<Durable, JournalError> {
        let tail = self.known_tail()?;
        let record = TapRecord {
            seq: tail.seq + 1,
            accepted_at: verified.at(),
            terminal: self.terminal.clone(),
            presentation: Encoded::copy_of(verified.presentation())
                .expect("a verified presentation has at most PRESENTATION_MAX bytes"),
            fare,
            flags: 0,
        };
        let bytes = record.encode();
        let head = tail.head.then(&bytes);
        self.tail = None;
        self.insert(&record, &bytes, head, &verified.identity())
            .map_err(self.failed("write to"))?;
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
    ) -> rusqlite::Result<usize> {
        schema::sync_commits(&self.connection)?;
        self.connection
            .prepare_cached(
                "INSERT INTO record (seq, bytes, head, kid, cti, issued_at, nonce)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                record.seq,
                bytes,
                head.0,
                code.kid.0,
                code.cti.0,
                code.issued_at.0,
                code.nonce.0
            ])
    }

    /// Marks the gate as opened for a durable tap.
    ///
    /// The mark costs no fsync of its own. It survives the process; should the power fail before
    /// the next tap, the same code would open the gate once more within its window.
    ///
    /// # Errors
    /// [`JournalError::Storage`]: the tap stays as it was, paid and unopened.
    pub fn grant(&mut self, durable: Durable, at: UnixTime) -> Result<Granted, JournalError> {
        let Durable { record } = durable;
        schema::defer_commits(&self.connection)
            .and_then(|()| {
                self.connection
                    .prepare_cached("INSERT INTO granted (seq, at) VALUES (?1, ?2)")?
                    .execute(params![record.seq, at.0])
            })
            .map_err(self.failed("mark the gate's opening in"))?;
        Ok(Granted { record })
    }

    /// What the journal knows of a boarding code.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn recorded(&self, code: &CodeIdentity) -> Result<Recorded, JournalError> {
        let found: Option<(Vec<u8>, bool)> = self
            .connection
            .prepare_cached(
                "SELECT bytes, granted.seq IS NOT NULL
                 FROM record LEFT JOIN granted ON granted.seq = record.seq
                 WHERE cti = ?1 AND kid = ?2 AND issued_at = ?3 AND nonce = ?4",
            )
            .and_then(|mut statement| {
                let key = params![code.cti.0, code.kid.0, code.issued_at.0, code.nonce.0];
                statement
                    .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(self.failed("read"))?;
        match found {
            None => Ok(Recorded::No),
            Some((_, true)) => Ok(Recorded::Granted),
            Some((bytes, false)) => {
                let record = self.decode(&bytes)?;
                Ok(Recorded::Unopened(Durable { record }))
            }
        }
    }

    /// The codes of the last `limit` taps and when they were accepted, oldest first.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn recent(&self, limit: usize) -> Result<Vec<(CodeIdentity, UnixTime)>, JournalError> {
        let mut codes = self.rows(
            "SELECT kid, cti, issued_at, nonce, bytes FROM record ORDER BY seq DESC LIMIT ?1",
            params![limit],
            |row| Ok((code(row)?, row.get::<_, Vec<u8>>(4)?)),
        )?;
        codes.reverse();
        codes
            .into_iter()
            .map(|(code, bytes)| Ok((code, self.decode(&bytes)?.accepted_at)))
            .collect()
    }

    /// Up to `limit` records from `first_seq` on.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn records(&self, first_seq: u64, limit: usize) -> Result<Vec<StoredRecord>, JournalError> {
        self.rows(
            "SELECT bytes, head, at FROM record LEFT JOIN granted ON granted.seq = record.seq
             WHERE record.seq >= ?1 ORDER BY record.seq LIMIT ?2",
            params![first_seq, limit],
            |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)),
        )?
        .into_iter()
        .map(|(bytes, head, at): (_, _, Option<u32>)| {
            Ok(StoredRecord {
                record: self.decode(&bytes)?,
                head: Head(head),
                granted_at: at.map(UnixTime),
            })
        })
        .collect()
    }

    /// The terminal whose journal this is.
    #[must_use]
    pub fn terminal(&self) -> &TerminalName {
        &self.terminal
    }

    /// What tells this journal from any other of the terminal.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last record's number; 0 for an empty journal.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn last_seq(&self) -> Result<u64, JournalError> {
        match self.tail {
            Some(tail) => Ok(tail.seq),
            None => self.check_end().map(|tail| tail.seq),
        }
    }

    fn known_tail(&mut self) -> Result<Tail, JournalError> {
        let tail = match self.tail {
            Some(tail) => tail,
            None => self.check_end()?,
        };
        self.tail = Some(tail);
        Ok(tail)
    }

    fn head_at(&self, seq: u64) -> Result<Head, JournalError> {
        if seq == 0 {
            return Ok(self.origin());
        }
        self.connection
            .query_row(
                "SELECT head FROM record WHERE seq = ?1",
                params![seq],
                |row| row.get(0).map(Head),
            )
            .map_err(|source| match source {
                rusqlite::Error::QueryReturnedNoRows => JournalError::Damaged {
                    path: self.path.clone(),
                    seq,
                    what: "it is missing",
                },
                source => self.failed("read")(source),
            })
    }

    fn origin(&self) -> Head {
        Head::origin(&self.terminal, self.epoch)
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(parameters, read)?.collect())
            .map_err(self.failed("read"))
    }

    fn decode(&self, bytes: &[u8]) -> Result<TapRecord, JournalError> {
        TapRecord::decode(bytes).map_err(|malformed| JournalError::DamagedFile {
            path: self.path.clone(),
            what: format!("a record malformed at {malformed}"),
        })
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> JournalError + use<> {
        let path = self.path.clone();
        move |source| JournalError::of(path, doing, source)
    }
}

fn code(row: &Row<'_>) -> rusqlite::Result<CodeIdentity> {
    Ok(CodeIdentity {
        kid: Kid(row.get(0)?),
        cti: Cti(row.get(1)?),
        issued_at: UnixTime(row.get(2)?),
        nonce: Nonce(row.get(3)?),
    })
}
