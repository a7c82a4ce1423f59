//! The witness's rules (c2sp.org/tlog-witness): cosign a tree head only when it continues the last
//! one that was cosigned. Pure: the caller keeps what was seen, durably, before it hands out the
//! cosignature.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use data_encoding::BASE64;
use thiserror::Error;

use crate::base64;
use crate::checkpoint::{Checkpoint, CheckpointError, parse_size};
use crate::cosignature::WitnessSigner;
use crate::hash::Hash;
use crate::log_key::{LogKey, SignatureRefused};
use crate::note::{NOTE_MAX, Note, NoteError, SignatureLine};
use crate::proof::{PROOF_MAX, ProofRefused, verify_consistency};

/// A request to a witness: a checkpoint, and the proof that it continues the tree of `old_size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Size of the tree the witness cosigned last; 0 when it has seen none.
    pub old_size: u64,
    /// The consistency proof; empty when `old_size` is 0 or the size has not changed.
    pub proof: Vec<Hash>,
    /// The checkpoint with the log's signature.
    pub note: Note,
}

/// Why bytes are no submission.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SubmissionError {
    /// The lines before the checkpoint are not `old N`, hashes in base64, and an empty line.
    #[error("not an old size, proof lines and an empty line before the checkpoint")]
    Head,
    /// More than 63 hashes.
    #[error("{0} proof lines, more than {PROOF_MAX}")]
    TooLong(usize),
    /// The checkpoint is no note.
    #[error("the checkpoint: {0}")]
    Note(NoteError),
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The note's text is no checkpoint.
    #[error("no checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Another log.
    #[error("a checkpoint of {found}, not of {expected}")]
    Origin {
        /// Origin seen.
        found: String,
        /// The log this witness watches.
        expected: String,
    },
    /// Not signed by the log.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// The proof does not start where the witness stands.
    #[error("the proof starts at size {found}; the last cosigned size is {expected}")]
    OldSize {
        /// As submitted.
        found: u64,
        /// As kept.
        expected: u64,
    },
    /// The log shrank: it was rolled back.
    #[error("the log was rolled back: it has {found} entries where {seen} were cosigned")]
    RolledBack {
        /// Size of the submitted checkpoint.
        found: u64,
        /// Size cosigned before.
        seen: u64,
    },
    /// The log does not continue what was cosigned: history was rewritten, or the proof is wrong.
    #[error("the log does not continue the {seen} entries that were cosigned: {why}")]
    Inconsistent {
        /// Size cosigned before.
        seen: u64,
        /// The proof's failure.
        why: ProofRefused,
    },
}

/// A checkpoint that a witness's rules let pass. Made by [`judge`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistent {
    checkpoint: Checkpoint,
    note: Note,
}

/// Checks a submission against the tree head that was cosigned last, if any.
///
/// # Errors
/// [`Refusal`].
pub fn judge(
    log: &LogKey,
    origin: &str,
    seen: Option<&Checkpoint>,
    submission: Submission,
) -> Result<Consistent, Refusal> {
    let Submission {
        old_size,
        proof,
        note,
    } = submission;
    let checkpoint = Checkpoint::parse(note.text())?;
    let foreign = |found: &str| Refusal::Origin {
        found: found.to_owned(),
        expected: origin.to_owned(),
    };
    if checkpoint.origin != origin {
        return Err(foreign(&checkpoint.origin));
    }
    log.verify(&note)?;
    let Some(seen) = seen else {
        if old_size != 0 || !proof.is_empty() {
            return Err(Refusal::OldSize {
                found: old_size,
                expected: 0,
            });
        }
        return Ok(Consistent { checkpoint, note });
    };
    if seen.origin != origin {
        return Err(foreign(&seen.origin));
    }
    if checkpoint.size < seen.size {
        return Err(Refusal::RolledBack {
            found: checkpoint.size,
            seen: seen.size,
        });
    }
    if old_size != seen.size {
        return Err(Refusal::OldSize {
            found: old_size,
            expected: seen.size,
        });
    }
    verify_consistency(
        seen.size,
        checkpoint.size,
        &seen.root,
        &checkpoint.root,
        &proof,
    )
    .map_err(|why| Refusal::Inconsistent {
        seen: seen.size,
        why,
    })?;
    Ok(Consistent { checkpoint, note })
}

impl Consistent {
    /// The tree head; to be kept durably before [`Consistent::cosign`]'s line leaves.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint as it was submitted.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The witness's line at `now`, seconds since 1970 UTC.
    #[must_use]
    pub fn cosign(&self, witness: &WitnessSigner, now: u64) -> SignatureLine {
        witness.cosign(self.note.text(), now)
    }
}

impl Submission {
    /// Reads the body of `add-checkpoint`.
    ///
    /// # Errors
    /// [`SubmissionError`].
    pub fn parse(body: &[u8]) -> Result<Self, SubmissionError> {
        let end = body.windows(2).position(|pair| pair == b"\n\n");
        let (head, note) = body.split_at(end.ok_or(SubmissionError::Head)?);
        if note.len() > NOTE_MAX + 2 {
            return Err(SubmissionError::Note(NoteError::TooLong(note.len() - 2)));
        }
        let head = core::str::from_utf8(head).map_err(|_| SubmissionError::Head)?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| parse_size(line.strip_prefix("old ")?))
            .ok_or(SubmissionError::Head)?;
        let count = lines.clone().count();
        if count > PROOF_MAX {
            return Err(SubmissionError::TooLong(count));
        }
        let proof = lines
            .map(|line| parse_hash(line).ok_or(SubmissionError::Head))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            old_size,
            proof,
            note: Note::parse(&note[2..]).map_err(SubmissionError::Note)?,
        })
    }

    /// The body of `add-checkpoint`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            text.push_str(&BASE64.encode(&hash.0));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note.to_text());
        text
    }
}

fn parse_hash(line: &str) -> Option<Hash> {
    let bytes = base64::decode(line)?;
    bytes.try_into().ok().map(Hash)
}
