//! The store in one SQLite file: one connection writes, others read.

mod audit;
mod ledger;
mod migrate;
mod orders;
mod outbox;
mod passengers;
mod rides;
mod row;
mod statement;
mod terminals;
mod uses;

pub use outbox::EVENTS_MAX;
pub use passengers::Admitted;
pub use statement::STATEMENT_LINES_MAX;

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
    path: PathBuf,
    book: Book,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the file, making or migrating it as needed.
    ///
    /// # Errors
    /// [`OpenRefused`] when it cannot be opened, is newer than this program, or keeps another
    /// book.
    pub fn open(path: &Path, book: Book) -> Result<SqliteStore, OpenRefused> {
        let mut writer =
            connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(|source| OpenRefused::Open {
                path: path.to_owned(),
                source,
            })?;
        migrate::migrate(&mut writer, path)?;
        migrate::check_book(&mut writer, path, &book)?;
        let (path, writer) = (path.to_owned(), Mutex::new(writer));
        Ok(SqliteStore {
            path,
            book,
            writer,
            readers: Mutex::new(Vec::new()),
        })
    }

    /// The book.
    pub const fn book(&self) -> &Book {
        &self.book
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
            None => connect(&self.path, OpenFlags::empty()).map_err(sql)?,
        };
        let answer = work(&reader.transaction().map_err(sql)?);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        answer
    }
}

fn connect(path: &Path, create: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
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
