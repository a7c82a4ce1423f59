//! Intake of journals: the inbox, its chain, its watermark.

use obol_payment::ride::{Entry, Epoch, Head, TerminalName, Upload, terminal_bucket};
use rusqlite::{OptionalExtension, Transaction, params};

use super::row::{blob_from, number_from, to_sql};
use super::{Books, Doing, SqliteStore, ledger, uses};
use crate::{Disposition, Fault, PostedRecord, PostedUpload};

impl SqliteStore {
    /// Stores an upload and charges its rides, in one transaction. When this returns `Ok`,
    /// everything up to the watermark is on the disk and the terminal may delete it.
    ///
    /// Any order and any repetition of uploads ends in the same balances and statements.
    ///
    /// # Errors
    /// [`Fault`] when storage fails; nothing is stored.
    pub fn post_rides(&self, upload: &Upload) -> Result<PostedUpload, Fault> {
        self.write("posting rides", |transaction| {
            let records = ledger::posting(transaction, |poster| {
                let mut records = Vec::with_capacity(upload.entries().len());
                for entry in upload.entries() {
                    let disposition = store_entry(transaction, upload, entry)?;
                    if let (Disposition::Accepted, Ok(ride)) = (disposition, &entry.ride) {
                        let (day, now) = (self.book.day, upload.received_at());
                        uses::charge(transaction, poster, ride, day, now)?;
                    }
                    records.push(PostedRecord {
                        seq: entry.key.seq,
                        disposition,
                    });
                }
                Ok::<_, Fault>(records)
            })?;
            let journal = Journal::of(upload);
            let (watermark, head) = journal.advance_watermark(transaction)?;
            Ok(PostedUpload {
                records,
                watermark,
                head,
            })
        })
    }
}

impl Books {
    /// How far a journal is held without gaps, and its chain there.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn watermark(&self, terminal: &TerminalName, epoch: Epoch) -> Result<(u64, Head), Fault> {
        self.read("reading a watermark", |transaction| {
            Journal { terminal, epoch }.watermark(transaction)
        })
    }

    /// How many records are kept apart because they contradict a journal that is held.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn quarantined(&self) -> Result<u64, Fault> {
        self.read("counting the quarantine", |transaction| {
            let count: i64 = transaction
                .query_row("SELECT COUNT(*) FROM quarantine", [], |row| row.get(0))
                .doing("counting the quarantine")?;
            number_from("quarantine", "count", count)
        })
    }
}

fn store_entry(
    transaction: &Transaction<'_>,
    upload: &Upload,
    entry: &Entry,
) -> Result<Disposition, Fault> {
    let journal = Journal::of(upload);
    let fits = match journal.held(transaction, entry.key.seq)? {
        Some(held) if held.head == entry.head => return Ok(Disposition::Duplicate),
        Some(_) => false,
        None => journal.continues_with(transaction, entry)?,
    };
    if !fits {
        insert_quarantine(transaction, upload, entry)?;
        return Ok(Disposition::Conflict);
    }
    let reason = entry.ride.as_ref().err().map(|refusal| refusal.code());
    insert_inbox(transaction, upload, entry, reason)?;
    Ok(reason.map_or(Disposition::Accepted, Disposition::Rejected))
}

/// One journal in the inbox.
struct Journal<'a> {
    terminal: &'a TerminalName,
    epoch: Epoch,
}

struct Held {
    head: Head,
    record: Vec<u8>,
}

impl<'a> Journal<'a> {
    fn of(upload: &'a Upload) -> Journal<'a> {
        Journal {
            terminal: upload.terminal(),
            epoch: upload.epoch(),
        }
    }

    fn bucket(&self) -> u8 {
        terminal_bucket(self.terminal).number()
    }

    fn held(&self, transaction: &Transaction<'_>, seq: u64) -> Result<Option<Held>, Fault> {
        let found: Option<(Vec<u8>, Vec<u8>)> = transaction
            .prepare_cached(
                "SELECT head, record FROM inbox
                 WHERE bucket = ?1 AND terminal = ?2 AND epoch = ?3 AND seq = ?4",
            )
            .and_then(|mut statement| {
                let (terminal, epoch) = (self.terminal.as_str(), self.epoch.0);
                statement
                    .query_row(
                        params![self.bucket(), terminal, epoch, to_sql(seq)],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()
            })
            .doing("looking into the inbox")?;
        let Some((head, record)) = found else {
            return Ok(None);
        };
        Ok(Some(Held {
            head: Head(blob_from("inbox", "head", head)?),
            record,
        }))
    }

    /// Whether the chain holds from the record before, if we have it, to the record after, if we
    /// have it.
    fn continues_with(&self, transaction: &Transaction<'_>, entry: &Entry) -> Result<bool, Fault> {
        let seq = entry.key.seq;
        let before = match seq - 1 {
            0 => Some(Head::origin(self.terminal, self.epoch)),
            before => self.held(transaction, before)?.map(|held| held.head),
        };
        if before.is_some_and(|before| before != entry.previous) {
            return Ok(false);
        }
        let after = self.held(transaction, seq + 1)?;
        Ok(after.is_none_or(|after| entry.head.then(&after.record) == after.head))
    }

    fn watermark(&self, transaction: &Transaction<'_>) -> Result<(u64, Head), Fault> {
        let found: Option<(i64, Vec<u8>)> = transaction
            .query_row(
                "SELECT seq, head FROM watermark
                 WHERE bucket = ?1 AND terminal = ?2 AND epoch = ?3",
                params![self.bucket(), self.terminal.as_str(), self.epoch.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .doing("reading a watermark")?;
        match found {
            None => Ok((0, Head::origin(self.terminal, self.epoch))),
            Some((seq, head)) => Ok((
                number_from("watermark", "seq", seq)?,
                Head(blob_from("watermark", "head", head)?),
            )),
        }
    }

    fn advance_watermark(&self, transaction: &Transaction<'_>) -> Result<(u64, Head), Fault> {
        let before = self.watermark(transaction)?;
        let after = self.last_without_gap(transaction, before)?;
        if after != before {
            transaction
                .execute(
                    "INSERT INTO watermark (bucket, terminal, epoch, seq, head)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (bucket, terminal, epoch) DO UPDATE SET
                       seq = excluded.seq, head = excluded.head",
                    params![
                        self.bucket(),
                        self.terminal.as_str(),
                        self.epoch.0,
                        to_sql(after.0),
                        after.1.0
                    ],
                )
                .doing("writing a watermark")?;
        }
        Ok(after)
    }

    fn last_without_gap(
        &self,
        transaction: &Transaction<'_>,
        (mut seq, mut head): (u64, Head),
    ) -> Result<(u64, Head), Fault> {
        const DOING: &str = "looking for gaps";
        let mut statement = transaction
            .prepare_cached(
                "SELECT seq, head FROM inbox
                 WHERE bucket = ?1 AND terminal = ?2 AND epoch = ?3 AND seq > ?4 ORDER BY seq",
            )
            .doing(DOING)?;
        let mut rows = statement
            .query(params![
                self.bucket(),
                self.terminal.as_str(),
                self.epoch.0,
                to_sql(seq)
            ])
            .doing(DOING)?;
        while let Some(row) = rows.next().doing(DOING)? {
            let next: u64 = number_from("inbox", "seq", row.get(0).doing(DOING)?)?;
            if next != seq + 1 {
                break;
            }
            (seq, head) = (
                next,
                Head(blob_from("inbox", "head", row.get(1).doing(DOING)?)?),
            );
        }
        Ok((seq, head))
    }
}

fn insert_inbox(
    transaction: &Transaction<'_>,
    upload: &Upload,
    entry: &Entry,
    reason: Option<&str>,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO inbox (bucket, terminal, epoch, seq, head, record, received_at, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                entry.key.bucket().number(),
                entry.key.terminal.as_str(),
                entry.key.epoch.0,
                to_sql(entry.key.seq),
                entry.head.0,
                entry.bytes,
                upload.received_at().0,
                reason,
            ])
        })
        .doing("inserting into the inbox")?;
    Ok(())
}

fn insert_quarantine(
    transaction: &Transaction<'_>,
    upload: &Upload,
    entry: &Entry,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO quarantine (bucket, terminal, epoch, seq, head, record, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                entry.key.bucket().number(),
                entry.key.terminal.as_str(),
                entry.key.epoch.0,
                to_sql(entry.key.seq),
                entry.head.0,
                entry.bytes,
                upload.received_at().0,
            ],
        )
        .doing("inserting into the quarantine")?;
    Ok(())
}
