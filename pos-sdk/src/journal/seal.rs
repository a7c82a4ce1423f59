//! Sealed segments: runs of records under the terminal's signature. Whoever rewrites the file cannot
//! make them again, and an upload that is repeated sends the same bytes.

use std::error::Error;
use std::fmt;

use obol_credential::Malformed;
use obol_tap::{Head, SEGMENT_RECORDS_MAX, SpkiId, TerminalKey, UnsignedSegment, VerifiedSegment};
use rusqlite::{OptionalExtension, params};
use thiserror::Error;

use super::{JournalError, JournalFile, schema};

/// The terminal's key, P-256: that of its TLS certificate. A key in a file is
/// [`SegmentSigner`](crate::SegmentSigner); a box with a secure element or a PKCS#11 token brings
/// its own.
pub trait SegmentKey {
    /// SHA-256 of the key's DER SubjectPublicKeyInfo.
    fn id(&self) -> SpkiId;

    /// Signs with ESP256 (RFC 9864): ECDSA over SHA-256 of `input`, r ‖ s.
    ///
    /// # Errors
    /// [`KeyFault`] when the key cannot sign now. Nothing is lost by it.
    fn sign(&self, input: &[u8]) -> Result<[u8; 64], KeyFault>;
}

/// Why the terminal's key did not sign.
#[derive(Debug, Error)]
#[error("the terminal's key does not sign")]
pub struct KeyFault(#[source] pub Box<dyn Error + Send + Sync>);

/// Why nothing could be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyFault),
}

/// Which records are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Runs of a thousand alone: between taps, with or without a network.
    Full,
    /// Everything: before an upload.
    All,
}

/// A signed segment, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its first record.
    pub first_seq: u64,
    /// Its last record.
    pub last_seq: u64,
    /// docs/spec/tap.md section 4.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SealedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSegment({}..={})", self.first_seq, self.last_seq)
    }
}

/// What a look at the seals found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seals {
    /// Segments whose signature holds.
    pub good: u64,
    /// Segments that another key sealed: the terminal has been given a new one since.
    pub of_another_key: u64,
}

struct Seal {
    first_seq: u64,
    last_seq: u64,
    key: SpkiId,
    signature: [u8; 64],
}

impl JournalFile {
    /// Seals what is not sealed yet; returns how many segments that made.
    ///
    /// # Errors
    /// [`SealError`]; the records stay as they were.
    pub fn seal(&self, key: &dyn SegmentKey, which: Sealing) -> Result<u64, SealError> {
        let mut made = 0;
        while let Some((first_seq, segment)) = self.unsealed(key.id(), which)? {
            let signature = key.sign(&segment.signature_input(key.id()))?;
            self.keep(&Seal {
                first_seq,
                last_seq: segment.last_seq(),
                key: key.id(),
                signature,
            })?;
            made += 1;
        }
        Ok(made)
    }

    /// The records behind the last seal of this key and behind the watermark.
    fn unsealed(
        &self,
        key: SpkiId,
        which: Sealing,
    ) -> Result<Option<(u64, UnsignedSegment)>, JournalError> {
        let _snapshot = self.snapshot()?;
        let sealed: u64 = self
            .connection
            .query_row(
                "SELECT coalesce(max(last_seq), 0) FROM seal WHERE key = ?1",
                params![key.0],
                |row| row.get(0),
            )
            .map_err(self.failed("read"))?;
        let found = self.run_behind(sealed.max(self.watermark()?), SEGMENT_RECORDS_MAX)?;
        let full = found.as_ref().is_some_and(|(_, segment, records)| {
            *records == SEGMENT_RECORDS_MAX || self.is_lost_behind(segment.last_seq())
        });
        Ok(found
            .filter(|_| which == Sealing::All || full)
            .map(|(first_seq, segment, _)| (first_seq, segment)))
    }

    fn is_lost_behind(&self, seq: u64) -> bool {
        matches!(self.lost_head(seq + 1), Ok(Some(_)))
    }

    fn keep(&self, seal: &Seal) -> Result<(), JournalError> {
        self.ready()?;
        schema::sync_commits(&self.connection)
            .and_then(|()| {
                self.connection.execute(
                    "INSERT OR REPLACE INTO seal (first_seq, last_seq, key, signature)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![seal.first_seq, seal.last_seq, seal.key.0, seal.signature],
                )
            })
            .map_err(self.not_written("seal"))?;
        Ok(())
    }

    /// The sealed segment behind the watermark, byte for byte the same each time it is asked for;
    /// `None` when nothing is sealed there with this key.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read or is not as it was sealed.
    pub fn next_sealed(&self, key: SpkiId) -> Result<Option<SealedSegment>, JournalError> {
        let _snapshot = self.snapshot()?;
        let found = self
            .connection
            .query_row(
                "SELECT first_seq, last_seq, key, signature FROM seal
                 WHERE first_seq > ?1 AND key = ?2 ORDER BY first_seq LIMIT 1",
                params![self.watermark()?, key.0],
                |row| {
                    Ok(Seal {
                        first_seq: row.get(0)?,
                        last_seq: row.get(1)?,
                        key: SpkiId(row.get(2)?),
                        signature: row.get(3)?,
                    })
                },
            )
            .optional()
            .map_err(self.failed("read"))?;
        let Some(seal) = found else { return Ok(None) };
        let segment = self.sealed(&seal)?;
        Ok(Some(SealedSegment {
            first_seq: seal.first_seq,
            last_seq: seal.last_seq,
            bytes: segment.assemble(seal.key, &seal.signature),
        }))
    }

    fn sealed(&self, seal: &Seal) -> Result<UnsignedSegment, JournalError> {
        let count = usize::try_from(seal.last_seq - seal.first_seq + 1).unwrap_or(usize::MAX);
        match self.run_behind(seal.first_seq - 1, count.min(SEGMENT_RECORDS_MAX))? {
            Some((first, segment, _))
                if (first, segment.last_seq()) == (seal.first_seq, seal.last_seq) =>
            {
                Ok(segment)
            }
            _ => Err(self.damaged(seal.first_seq, "it was sealed and is missing")),
        }
    }

    /// Up to `limit` records behind `seq` without a gap, as a segment, and how many they are. Lost
    /// ones are stepped over at its beginning and end it.
    fn run_behind(
        &self,
        seq: u64,
        limit: usize,
    ) -> Result<Option<(u64, UnsignedSegment, usize)>, JournalError> {
        let mut first = seq + 1;
        while self.lost_head(first)?.is_some() {
            first += 1;
        }
        let previous = self.head_at(first - 1)?;
        let rows: Vec<(u64, Vec<u8>, [u8; 32])> = self.rows(
            "SELECT seq, bytes, head FROM record WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
            params![first, limit],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let run: Vec<_> = (first..)
            .zip(rows)
            .take_while(|(expected, (found, ..))| expected == found)
            .map(|(_, row)| row)
            .collect();
        let Some((_, _, last_head)) = run.last() else {
            return Ok(None);
        };
        let (count, last_head) = (run.len(), Head(*last_head));
        let bytes: Vec<_> = run.into_iter().map(|(_, bytes, _)| bytes).collect();
        let segment = UnsignedSegment::new(&self.terminal, self.epoch, first, previous, &bytes);
        match segment {
            Ok(segment) if segment.last_head() == last_head => Ok(Some((first, segment, count))),
            // Which one? The walk along the chain says so.
            found => {
                self.walk(super::Tail {
                    seq: first - 1,
                    head: previous,
                })?;
                Err(JournalError::Segment {
                    path: self.path.clone(),
                    source: found.err().unwrap_or(MISLED),
                })
            }
        }
    }

    /// Verifies every seal of `key` over the records it covers.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] with the first record of a segment that is not as it was sealed:
    /// somebody without the key has rewritten the journal.
    pub fn check_seals(&self, key: &TerminalKey) -> Result<Seals, JournalError> {
        let _snapshot = self.snapshot()?;
        let base = self.kept()?.base;
        let all = self.rows(
            "SELECT first_seq, last_seq, key, signature FROM seal WHERE first_seq > ?1
             ORDER BY first_seq",
            params![base],
            |row| {
                Ok(Seal {
                    first_seq: row.get(0)?,
                    last_seq: row.get(1)?,
                    key: SpkiId(row.get(2)?),
                    signature: row.get(3)?,
                })
            },
        )?;
        let mut found = Seals::default();
        for seal in all {
            if seal.key != key.id() {
                found.of_another_key += 1;
                continue;
            }
            let bytes = self.sealed(&seal)?.assemble(seal.key, &seal.signature);
            VerifiedSegment::decode(&bytes, key)
                .map_err(|_| self.damaged(seal.first_seq, "its segment is not as it was sealed"))?;
            found.good += 1;
        }
        Ok(found)
    }
}

const MISLED: obol_tap::SegmentRefusal = obol_tap::SegmentRefusal::Malformed(Malformed {
    at: 0,
    rule: "heads that do not follow",
});
