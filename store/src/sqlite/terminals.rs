use obol_payment::ride::TerminalName;
use rusqlite::{OptionalExtension, Transaction, params};

use super::row::{blob_from, damaged};
use super::{Books, Doing, SqliteStore};
use crate::{Fault, RegisterRefused, Terminal};

impl SqliteStore {
    /// Registers a terminal, or replaces its key and operator.
    ///
    /// # Errors
    /// [`RegisterRefused::KeyTaken`] when another terminal has the key.
    pub fn register_terminal(&self, terminal: &Terminal) -> Result<(), RegisterRefused> {
        self.write("registering a terminal", |transaction| {
            let holder: Option<String> = transaction
                .query_row(
                    "SELECT name FROM terminal WHERE spki = ?1",
                    [terminal.spki],
                    |row| row.get(0),
                )
                .optional()
                .doing("looking for a terminal's key")?;
            if let Some(holder) = holder.filter(|holder| holder != terminal.name.as_str()) {
                return Err(RegisterRefused::KeyTaken(holder));
            }
            transaction
                .execute(
                    "INSERT INTO terminal (name, spki, operator) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET
                       spki = excluded.spki, operator = excluded.operator",
                    params![terminal.name.as_str(), terminal.spki, terminal.operator],
                )
                .doing("inserting a terminal")?;
            Ok(())
        })
    }
}

impl Books {
    /// The terminal with this name.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn terminal(&self, name: &TerminalName) -> Result<Option<Terminal>, Fault> {
        self.read("finding a terminal", |transaction| find(transaction, name))
    }
}

fn find(transaction: &Transaction<'_>, name: &TerminalName) -> Result<Option<Terminal>, Fault> {
    let found: Option<(String, Vec<u8>, String)> = transaction
        .query_row(
            "SELECT name, spki, operator FROM terminal WHERE name = ?1",
            [name.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .doing("finding a terminal")?;
    let Some((name, spki, operator)) = found else {
        return Ok(None);
    };
    let name = TerminalName::new(&name)
        .ok_or_else(|| damaged("terminal", format_args!("name {name:?}")))?;
    Ok(Some(Terminal {
        name,
        spki: blob_from("terminal", "spki", spki)?,
        operator,
    }))
}
