use obol_log::witness::{Refusal, Submission, SubmissionError, judge};
use obol_log::{Checkpoint, CheckpointError, LogKey, Note, NoteError, SignatureRefused};

/// A daemon's audit log around a ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSpan {
    /// Name of the log.
    pub origin: String,
    /// Entries before the ceremony's first event.
    pub before: u64,
    /// Entries after its last step.
    pub after: u64,
}

/// Why checkpoints do not stand around a ceremony.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditRefused {
    /// No signed note.
    #[error("the checkpoint before is no signed note: {0}")]
    Note(NoteError),
    /// The note is no checkpoint.
    #[error("the checkpoint before is none: {0}")]
    Checkpoint(CheckpointError),
    /// Another log's.
    #[error("the checkpoint before is of the log {0}")]
    Origin(String),
    /// Not signed by the log's key.
    #[error("the checkpoint before: {0}")]
    Signature(SignatureRefused),
    /// What stands there after is no proof and checkpoint.
    #[error("the checkpoint after: {0}")]
    Submission(SubmissionError),
    /// The log does not go on from where it was.
    #[error("the checkpoint after: {0}")]
    NotContinued(Refusal),
}

/// A checkpoint by this log's key.
///
/// # Errors
/// [`AuditRefused`].
pub fn audit_head(key: &LogKey, note: &[u8]) -> Result<Checkpoint, AuditRefused> {
    let note = Note::parse(note).map_err(AuditRefused::Note)?;
    key.verify(&note).map_err(AuditRefused::Signature)?;
    let head = Checkpoint::parse(note.text()).map_err(AuditRefused::Checkpoint)?;
    if head.origin != key.name() {
        return Err(AuditRefused::Origin(head.origin));
    }
    Ok(head)
}

/// Checks the signed checkpoint `before`, and that `after` (c2sp.org/tlog-witness: old size, proof,
/// checkpoint) is signed by the same key and continues it.
///
/// # Errors
/// [`AuditRefused`].
pub fn audit_span(key: &LogKey, before: &[u8], after: &[u8]) -> Result<AuditSpan, AuditRefused> {
    let head = audit_head(key, before)?;
    let submission = Submission::parse(after).map_err(AuditRefused::Submission)?;
    let next = judge(key, key.name(), Some(&head), submission);
    let next = next.map_err(AuditRefused::NotContinued)?;
    Ok(AuditSpan {
        origin: head.origin,
        before: head.size,
        after: next.checkpoint().size,
    })
}
