//! The store in one SQLite file: one connection writes, others read.

mod audit;
mod commands;
mod issuer_keys;
mod journeys;
mod key_blocks;
mod ledger;
mod migrate;
mod orders;
mod outbox;
mod passengers;
mod receipts;
mod rejected;
mod rides;
mod row;
mod statement;
mod terminals;
mod uses;

pub use commands::COMMANDS_MAX;
pub use key_blocks::IN_FLIGHT_S;
pub use outbox::EVENTS_MAX;
pub use passengers::{Admitted, LIVE_CREDENTIALS_MAX};
pub use rejected::REJECTED_MAX;
pub use statement::STATEMENT_LINES_MAX;

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use obol_ledger::{DayRule, DayRuleOutOfRange};
use obol_payment::Currency;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{Fault, OpenRefused};

/// How long a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle read connections that are kept.
const READERS_KEPT: usize = 4;

/// In what money and by which day the books are kept. Fixed for the life of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    currency: Currency,
    day_offset_s: i32,
    day: DayRule,
}

impl Book {
    /// Books in this currency, whose business day begins `day_offset_s` seconds from UTC (see
    /// [`DayRule::new`]).
    ///
    /// # Errors
    /// [`DayRuleOutOfRange`] beyond 14 hours.
    pub fn new(currency: Currency, day_offset_s: i32) -> Result<Book, DayRuleOutOfRange> {
        Ok(Book {
            currency,
            day_offset_s,
            day: DayRule::new(day_offset_s)?,
        })
    }

    /// The currency of every amount.
    pub const fn currency(&self) -> Currency {
        self.currency
    }
}

/// All tables of the platform in one SQLite file (WAL, synchronous=FULL).
///
/// Each method is one transaction: when it returns `Ok`, what it did is on the disk; when it
/// returns an error, nothing was done. Methods block; an asynchronous caller runs them on a
/// blocking thread.
pub struct SqliteStore {
    books: Books,
    writer: Mutex<Connection>,
}

/// The same file for somebody who only reads: its connections cannot write.
///
/// [`SqliteStore`] lends its own, so that what reads needs no second set of methods.
pub struct Books {
    path: PathBuf,
    book: Book,
    readers: Mutex<Vec<Connection>>,
}

impl Deref for SqliteStore {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl SqliteStore {
    /// Opens the file, making or migrating it as needed.
    ///
    /// # Errors
    /// [`OpenRefused`] when it cannot be opened, is newer than this program, or keeps another
    /// book.
    pub fn open(path: &Path, book: Book) -> Result<SqliteStore, OpenRefused> {
        make_private(path).map_err(|source| OpenRefused::Create {
            path: path.to_owned(),
            source,
        })?;
        let mut writer = connect_writer(path).map_err(|source| OpenRefused::Open {
            path: path.to_owned(),
            source,
        })?;
        migrate::migrate(&mut writer, path)?;
        migrate::check_book(&mut writer, path, &book)?;
        let (path, writer) = (path.to_owned(), Mutex::new(writer));
        let readers = Mutex::new(Vec::new());
        let books = Books {
            path,
            book,
            readers,
        };
        Ok(SqliteStore { books, writer })
    }

    /// Runs `work` as one transaction on the writing connection; an error rolls back.
    fn write<T, E: From<Fault>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic inside `work` has rolled its transaction back, so the connection is sound.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| Fault::Sql { doing, source })?;
        let answer = work(&transaction)?;
        transaction
            .commit()
            .map_err(|source| Fault::Sql { doing, source })?;
        Ok(answer)
    }
}

impl Books {
    /// Opens a file that is there, to read alone. The service may be writing to it.
    ///
    /// # Errors
    /// [`OpenRefused`] when it cannot be opened or is of another version than this program.
    pub fn open(path: &Path) -> Result<Books, OpenRefused> {
        let reader = connect_reader(path).map_err(|source| OpenRefused::Open {
            path: path.to_owned(),
            source,
        })?;
        let book = migrate::read_book(&reader, path)?;
        Ok(Books {
            path: path.to_owned(),
            book,
            readers: Mutex::new(vec![reader]),
        })
    }

    /// The book.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Runs `work` on one snapshot, beside the writer.
    fn read<T, E: From<Fault>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let sql = |source| Fault::Sql { doing, source };
        let idle = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect_reader(&self.path).map_err(sql)?,
        };
        let answer = work(&reader.transaction().map_err(sql)?);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        answer
    }
}

/// Makes the file if it is missing. SQLite gives its side files the mode of the file itself.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn connect_writer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | access;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Names what was being done when SQLite failed.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Fault>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Fault> {
        self.map_err(|source| Fault::Sql { doing, source })
    }
}
