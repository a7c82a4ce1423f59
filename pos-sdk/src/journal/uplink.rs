//! What the platform holds of the journal, and what it is sent next.

use obol_tap::{Acknowledgement, Head, RecordStatus, SEGMENT_RECORDS_MAX, UnsignedSegment};
use rusqlite::{Transaction, TransactionBehavior, params};

use super::{AcknowledgementRefused, JournalError, JournalFile, schema};

impl JournalFile {
    /// The next segment to upload: the records behind the watermark, a thousand at most. `None`
    /// when everything is uploaded.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read or its records make no segment.
    pub fn next_segment(&self) -> Result<Option<UnsignedSegment>, JournalError> {
        let _snapshot = self.snapshot()?;
        let (watermark, head) = self.uplink()?;
        let records: Vec<Vec<u8>> = self.rows(
            "SELECT bytes FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            params![watermark, SEGMENT_RECORDS_MAX],
            |row| row.get(0),
        )?;
        if records.is_empty() {
            return Ok(None);
        }
        UnsignedSegment::new(&self.terminal, self.epoch, watermark + 1, head, &records)
            .map(Some)
            .map_err(|source| JournalError::Segment {
                path: self.path.clone(),
                source,
            })
    }

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
        let watermark = self.compare(first_seq, acknowledgement)?;
        if watermark == acknowledgement.watermark {
            alone
                .execute(
                    "UPDATE uplink SET watermark = ?1, head = ?2",
                    params![watermark, acknowledgement.head.0],
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
        acknowledgement: &Acknowledgement,
    ) -> Result<u64, AcknowledgementRefused> {
        let found = acknowledgement.watermark;
        let watermark = self.watermark().map_err(refused)?;
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
        let expected = self.head_at(found).map_err(refused)?;
        if acknowledgement.head != expected {
            return Err(AcknowledgementRefused::AnotherHead {
                seq: found,
                expected,
                found: acknowledgement.head,
            });
        }
        if found.max(watermark) >= first_seq {
            return Ok(found.max(watermark));
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

    /// The last record that the platform holds; 0 for none.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub fn watermark(&self) -> Result<u64, JournalError> {
        self.uplink().map(|(watermark, _)| watermark)
    }

    pub(super) fn uplink(&self) -> Result<(u64, Head), JournalError> {
        self.connection
            .query_row("SELECT watermark, head FROM uplink", [], |row| {
                Ok((row.get(0)?, Head(row.get(1)?)))
            })
            .map_err(self.failed("read"))
    }
}

fn refused(source: JournalError) -> AcknowledgementRefused {
    AcknowledgementRefused::Journal { source }
}
