//! Making a whole journal of a damaged one, and saying what is not in it.

use std::fs;
use std::path::{Path, PathBuf};

use obol_credential::{Cti, Kid, Nonce, UnixTime};
use obol_tap::{Head, TapRecord, TerminalName};
use obol_verifier_sdk::CodeIdentity;
use rusqlite::{Connection, params};

use super::salvage::{Known, Salvage, salvage};
use super::schema;
use super::tidy::Kept;
use super::writer::{self, Writer};
use super::{JournalError, JournalFile, Tail, check, companion};

/// What a repair did. The damaged file is kept beside the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The last record's number.
    pub last_seq: u64,
    /// Records of which a byte or a head was wrong and is right again, as the hash chain proves.
    pub restored: Vec<u64>,
    /// Records that are gone and that the platform does not hold: rides that nobody will be charged
    /// for.
    pub lost: Vec<u64>,
    /// Where the damaged file is kept.
    pub kept: PathBuf,
}

/// A record that could be read, of a journal in whatever state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its number.
    pub seq: u64,
    /// docs/spec/tap.md section 2.
    pub bytes: Vec<u8>,
    /// The head behind it.
    pub head: Head,
}

/// Reads every record that can be read, and says which cannot: the damage is not touched.
///
/// # Errors
/// [`JournalError`] when the file's own head is not readable.
pub fn export(
    path: &Path,
    terminal: &TerminalName,
) -> Result<(Vec<Exported>, Vec<u64>), JournalError> {
    let journal = JournalFile::open_damaged(path, terminal)?;
    let known = journal.known()?;
    let salvaged = salvage(&journal, &known).map_err(|source| unreadable(path, source))?;
    let records = salvaged.records.into_iter().map(|(seq, found)| Exported {
        seq,
        bytes: found.bytes,
        head: found.head,
    });
    Ok((records.collect(), salvaged.lost.into_keys().collect()))
}

/// Writes what can be read into a new file, whole and durable, and puts it in the place of the
/// damaged one. A repair that is interrupted can be repeated.
///
/// # Errors
/// [`JournalError`] when the file's own head is not readable, when another process takes rides, or
/// when the new file cannot be written; the damaged file stays in its place.
pub fn repair(path: &Path, terminal: &TerminalName) -> Result<Repaired, JournalError> {
    let failed = |source| unreadable(path, source);
    let _alone = Writer::of(path)?;
    let new = companion(path, "-repaired");
    if !path.exists() && new.exists() {
        fs::rename(&new, path).map_err(failed)?;
    }
    let journal = JournalFile::open_damaged(path, terminal)?;
    let known = journal.known()?;
    let salvaged = salvage(&journal, &known).map_err(failed)?;
    for suffix in ["", "-wal", "-shm"] {
        remove_if_there(&companion(&new, suffix)).map_err(failed)?;
    }
    writer::make_private(&new)?;
    let written = write(&new, &journal, &known, &salvaged)
        .map_err(|source| JournalError::of(new.clone(), "write", source));
    written?;
    drop(journal);
    let kept = replace(path, &new).map_err(failed)?;
    let (_, tail) = JournalFile::open_with_tail(path, terminal)?;
    let watermark = known.watermark.seq;
    let lost = salvaged.lost.into_keys().filter(|seq| *seq > watermark);
    Ok(Repaired {
        last_seq: tail.seq,
        restored: salvaged.restored,
        lost: lost.collect(),
        kept,
    })
}

fn unreadable(path: &Path, source: std::io::Error) -> JournalError {
    JournalError::File {
        path: path.into(),
        source,
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The damaged file and its WAL step aside under a name that is free; the new one takes their place.
fn replace(path: &Path, new: &Path) -> std::io::Result<PathBuf> {
    let aside = (1_u32..)
        .map(|number| companion(path, &format!("-damaged-{number}")))
        .find(|name| !name.exists())
        .ok_or(std::io::ErrorKind::AlreadyExists)?;
    for suffix in ["-wal", "-shm", ""] {
        let from = companion(path, suffix);
        if from.exists() {
            fs::rename(from, companion(&aside, suffix))?;
        }
    }
    fs::rename(new, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(aside)
}

impl JournalFile {
    /// What the tables of one row say, which a repair stands on.
    fn known(&self) -> Result<Known, JournalError> {
        let kept = self.kept()?;
        let (watermark, head) = self.uplink()?;
        let lost: Vec<(u64, [u8; 32])> = self.rows("SELECT seq, head FROM lost", &[], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let last = self.last_seq().unwrap_or(watermark);
        let base = Tail {
            seq: kept.base,
            head: Head(kept.base_head),
        };
        Ok(Known {
            base,
            watermark: Tail {
                seq: watermark,
                head,
            },
            last: last.max(watermark),
            lost: lost
                .into_iter()
                .map(|(seq, head)| (seq, Head(head)))
                .collect(),
        })
    }
}

fn write(
    new: &Path,
    damaged: &JournalFile,
    known: &Known,
    salvaged: &Salvage,
) -> rusqlite::Result<()> {
    let mut connection = schema::connect(new)?;
    schema::create(&mut connection, &damaged.terminal, damaged.epoch)?;
    let transaction = connection.transaction()?;
    // Records that the platform holds are of use only while they hang together.
    let broken = salvaged
        .new_heads_from
        .is_some_and(|at| at <= known.watermark.seq);
    let base = if broken { known.watermark } else { known.base };
    records(&transaction, base.seq, salvaged)?;
    let forgotten = codes(&transaction, damaged, salvaged)?.max(base.seq);
    let (watermark, head) = (known.watermark.seq, known.watermark.head.0);
    transaction.execute(
        "UPDATE uplink SET watermark = ?1, head = ?2",
        params![watermark, head],
    )?;
    transaction.execute(
        "UPDATE kept SET base = ?1, base_head = ?2, indexed = ?3",
        params![base.seq, base.head.0, forgotten],
    )?;
    let clock = damaged
        .connection
        .query_row("SELECT server_time, confirmed FROM clock", [], |r| {
            Ok((r.get::<_, u32>(0)?, r.get::<_, u64>(1)?))
        });
    if let Ok((server_time, confirmed)) = clock {
        transaction.execute(
            "UPDATE clock SET server_time = ?1, confirmed = ?2",
            params![server_time, confirmed],
        )?;
    }
    transaction.commit()?;
    drop(connection);
    fs_sync(new)
}

fn records(connection: &Connection, base: u64, salvaged: &Salvage) -> rusqlite::Result<()> {
    let mut record =
        connection.prepare("INSERT INTO record (seq, bytes, head) VALUES (?1, ?2, ?3)")?;
    // Whether the gate opened nobody knows any more. It must not open twice.
    let mut granted = connection.prepare("INSERT INTO granted (seq, at) VALUES (?1, ?2)")?;
    for (seq, found) in salvaged.records.range(base + 1..) {
        record.execute(params![seq, found.bytes, found.head.0])?;
        let record = TapRecord::decode(&found.bytes);
        granted.execute(params![
            seq,
            record.map_or(0, |record| record.accepted_at.0)
        ])?;
    }
    let mut lost = connection.prepare("INSERT INTO lost (seq, head) VALUES (?1, ?2)")?;
    for (seq, head) in salvaged.lost.range(base + 1..) {
        lost.execute(params![seq, head.0])?;
    }
    Ok(())
}

/// Indexes every code that was indexed. Returns the last record that was forgotten before.
fn codes(
    connection: &Connection,
    damaged: &JournalFile,
    salvaged: &Salvage,
) -> rusqlite::Result<u64> {
    let forgotten = damaged.kept().map_or(0, |Kept { indexed, .. }| indexed);
    for (seq, found) in salvaged.records.range(forgotten + 1..) {
        let columns = check::columns_of(&found.bytes, *seq, damaged.terminal.as_str());
        let record = TapRecord::decode(&found.bytes);
        if let (Ok((kid, cti, issued_at, nonce)), Ok(record)) = (columns, record) {
            let code = CodeIdentity {
                kid: Kid(kid),
                cti: Cti(cti),
                issued_at: UnixTime(issued_at),
                nonce: Nonce(nonce),
            };
            schema::index(connection, &code, *seq, record.accepted_at)?;
        }
    }
    Ok(forgotten)
}

/// The last connection has copied the WAL into the file; its bytes must be there before its name.
fn fs_sync(path: &Path) -> rusqlite::Result<()> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })
}
