use obol_payment::UnixTime;
use obol_payment::ride::TerminalName;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::row::{blob_from, damaged};
use super::{Books, Doing, SqliteStore};
use crate::{Fault, RegisterRefused, Terminal, TerminalRefresh};

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

    /// Keeps what a terminal tells of its news. It tells so with every upload, and something else
    /// each ten minutes or so: what is known costs a read.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn note_refresh(&self, name: &TerminalName, refresh: TerminalRefresh) -> Result<(), Fault> {
        const DOING: &str = "keeping when a terminal heard news";
        let known = self.read(DOING, |transaction| told(transaction, name))?;
        if known == Some(refresh) {
            return Ok(());
        }
        self.write(DOING, |transaction| {
            transaction
                .execute(
                    "INSERT INTO terminal_refresh VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET
                       refreshed_at = excluded.refreshed_at, silence_s = excluded.silence_s",
                    params![name.as_str(), refresh.refreshed_at.0, refresh.silence_s],
                )
                .doing(DOING)
                .map(drop)
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

    /// Every registered terminal in the order of names, and what it last told of its news.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn fleet(&self) -> Result<Vec<(TerminalName, Option<TerminalRefresh>)>, Fault> {
        const DOING: &str = "listing what terminals told";
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare("SELECT name FROM terminal ORDER BY name")
                .doing(DOING)?;
            let names = statement.query_map([], |row| row.get(0)).doing(DOING)?;
            let names = names.collect::<Result<Vec<String>, _>>().doing(DOING)?;
            let one = |name: String| {
                let name = terminal_name(&name)?;
                let told = told(transaction, &name)?;
                Ok((name, told))
            };
            names.into_iter().map(one).collect()
        })
    }
}

fn told(
    transaction: &Transaction<'_>,
    name: &TerminalName,
) -> Result<Option<TerminalRefresh>, Fault> {
    const DOING: &str = "reading when a terminal heard news";
    let mut statement = transaction
        .prepare_cached("SELECT refreshed_at, silence_s FROM terminal_refresh WHERE name = ?1")
        .doing(DOING)?;
    let refresh = |row: &Row<'_>| {
        Ok(TerminalRefresh {
            refreshed_at: UnixTime(row.get(0)?),
            silence_s: row.get(1)?,
        })
    };
    let found = statement.query_row([name.as_str()], refresh);
    found.optional().doing(DOING)
}

fn terminal_name(name: &str) -> Result<TerminalName, Fault> {
    TerminalName::new(name).ok_or_else(|| damaged("terminal", format_args!("name {name:?}")))
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
    Ok(Some(Terminal {
        name: terminal_name(&name)?,
        spki: blob_from("terminal", "spki", spki)?,
        operator,
    }))
}
