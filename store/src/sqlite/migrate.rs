use std::path::Path;

use obol_payment::Currency;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::row::damaged;
use super::{Book, Doing};
use crate::{Fault, OpenRefused};

/// One script per schema version; a script that was released is never edited.
const SCRIPTS: [&str; 6] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
];

/// Brings the file to the newest schema. Each step commits together with its version number.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenRefused> {
    const DOING: &str = "migrating the schema";
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing(DOING)?;
    let done = scripts_done(&transaction, path)?;
    for script in &SCRIPTS[done..] {
        transaction.execute_batch(script).doing(DOING)?;
    }
    transaction
        .pragma_update(None, "user_version", SCRIPTS.len() as i64)
        .doing(DOING)?;
    transaction.commit().doing(DOING)?;
    Ok(())
}

/// Reads which books a file keeps, for somebody who only reads: nothing is migrated.
pub(super) fn read_book(connection: &Connection, path: &Path) -> Result<Book, OpenRefused> {
    let done = scripts_done(connection, path)?;
    if done < SCRIPTS.len() {
        let (found, known) = (done as i64, SCRIPTS.len() as i64);
        return Err(OpenRefused::Older {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let (currency, offset): (String, i32) = connection
        .query_row("SELECT currency, day_offset_s FROM book", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .doing("reading the book")?;
    let found = Currency::new(&currency).and_then(|currency| Book::new(currency, offset).ok());
    let what = || damaged("book", format_args!("{currency}, day offset {offset} s"));
    Ok(found.ok_or_else(what)?)
}

fn scripts_done(connection: &Connection, path: &Path) -> Result<usize, OpenRefused> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .doing("reading the schema's version")?;
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= SCRIPTS.len());
    done.ok_or(OpenRefused::Newer {
        path: path.to_owned(),
        found,
        known: SCRIPTS.len() as i64,
    })
}

/// Writes the book into a fresh file, and refuses a file that keeps another.
pub(super) fn check_book(
    connection: &mut Connection,
    path: &Path,
    book: &Book,
) -> Result<(), OpenRefused> {
    const DOING: &str = "reading the book";
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .doing(DOING)?;
    let found: Option<(String, i32)> = transaction
        .query_row("SELECT currency, day_offset_s FROM book", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .doing(DOING)?;
    let expected = (book.currency.to_string(), book.day_offset_s);
    match found {
        Some(found) if found == expected => {}
        Some(found) => {
            let describe =
                |(currency, offset): (String, i32)| format!("{currency}, day offset {offset} s");
            let (found, expected) = (describe(found), describe(expected));
            return Err(OpenRefused::OtherBook {
                path: path.to_owned(),
                found,
                expected,
            });
        }
        None => insert_book(&transaction, book)?,
    }
    transaction.commit().doing(DOING)?;
    Ok(())
}

fn insert_book(connection: &Connection, book: &Book) -> Result<(), Fault> {
    connection
        .execute(
            "INSERT INTO book (one, currency, day_offset_s) VALUES (1, ?1, ?2)",
            params![book.currency.as_str(), book.day_offset_s],
        )
        .doing("writing the book")?;
    Ok(())
}
