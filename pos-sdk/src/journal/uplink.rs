//! What the platform holds of the journal.

use obol_tap::{Acknowledgement, Head, RecordStatus};
use rusqlite::{Transaction, TransactionBehavior, params};

use super::{AcknowledgementRefused, JournalError, JournalFile, schema};

impl JournalFile {
    /// Moves the watermark as far as the platform holds the journal, durably so, and returns it.
    /// `first_seq` is the first record of the segment that is acknowledged: what another upload has
    /// moved past it stays moved.
    ///
    /// # Errors
    /// [`AcknowledgementRefused`] when the acknowledgement is not about this journal as it stands
    /// here; the watermark stays.
    pub fn acknowledge(
        &mut self,
        first_seq: u64,
        acknowledgement: &Acknowledgement,
    ) -> Result<u64, AcknowledgementRefused> {
        self.ready().map_err(refused)?;
        let failed = |source| refused(self.not_written("move the watermark of")(source));
        schema::sync_commits(&self.connection).map_err(failed)?;
        // Between comparing and moving, no other upload may move it.
        let alone = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(failed)?;
        let before = self.watermark().map_err(refused)?;
        let watermark = self.compare(first_seq, before, acknowledgement)?;
        if watermark > before {
            let head = self.head_at(watermark).map_err(refused)?;
            alone
                .execute(
                    "UPDATE uplink SET watermark = ?1, head = ?2",
                    params![watermark, head.0],
                )
                .map_err(failed)?;
        }
        alone.commit().map_err(failed)?;
        Ok(watermark)
    }

    /// The watermark as it shall stand.
    fn compare(
        &self,
        first_seq: u64,
        before: u64,
        acknowledgement: &Acknowledgement,
    ) -> Result<u64, AcknowledgementRefused> {
        let found = acknowledgement.watermark;
        let last = self.last_seq().map_err(refused)?;
        if acknowledgement.epoch != self.epoch {
            return Err(AcknowledgementRefused::AnotherEpoch {
                expected: self.epoch,
                found: acknowledgement.epoch,
            });
        }
        if found > last {
            return Err(AcknowledgementRefused::Ahead { found, last });
        }
        let stands_before_a_gap = self.lost_head(found + 1).map_err(refused)?.is_some();
        let is_kept = found >= self.kept().map_err(refused)?.base;
        if is_kept || !stands_before_a_gap {
            let expected = self.head_at(found).map_err(refused)?;
            if acknowledgement.head != expected {
                return Err(AcknowledgementRefused::AnotherHead {
                    seq: found,
                    expected,
                    found: acknowledgement.head,
                });
            }
        }
        let held = match stands_before_a_gap {
            true => behind_the_gap(first_seq, acknowledgement).unwrap_or(found),
            false => found,
        };
        if held.max(before) >= first_seq && held <= last {
            return Ok(held.max(before));
        }
        let conflict = |status: &RecordStatus| *status == RecordStatus::Conflict;
        let mut records = acknowledgement.records.iter();
        Err(match records.find(|record| conflict(&record.status)) {
            Some(record) => AcknowledgementRefused::Conflict { seq: record.seq },
            None => AcknowledgementRefused::NoProgress {
                expected: first_seq,
                found,
            },
        })
    }

    /// The last record that the platform holds, but for lost ones; 0 for none.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn watermark(&self) -> Result<u64, JournalError> {
        self.uplink().map(|(watermark, _)| watermark)
    }

    /// How many records the platform is not known to hold.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn waiting(&self) -> Result<u64, JournalError> {
        Ok(self.last_seq()?.saturating_sub(self.watermark()?))
    }

    pub(super) fn uplink(&self) -> Result<(u64, Head), JournalError> {
        self.connection
            .prepare_cached("SELECT watermark, head FROM uplink")
            .and_then(|mut statement| {
                statement.query_row([], |row| Ok((row.get(0)?, Head(row.get(1)?))))
            })
            .map_err(self.failed("read"))
    }
}

/// The platform's watermark never passes a record that is lost. What lies behind it is held as far
/// as the statuses of the segment's records say so, one by one.
fn behind_the_gap(first_seq: u64, acknowledgement: &Acknowledgement) -> Option<u64> {
    (first_seq..)
        .zip(&acknowledgement.records)
        .take_while(|(seq, record)| record.seq == *seq && record.status != RecordStatus::Conflict)
        .map(|(seq, _)| seq)
        .last()
}

fn refused(source: JournalError) -> AcknowledgementRefused {
    AcknowledgementRefused::Journal { source }
}
