//! What a witness is shown of the log, and what it gave.

use std::sync::atomic::Ordering;

use obol_kms_audit::{CosignatureError, ReadError};
use obol_log::witness::Submission;
use obol_log::{Note, WitnessKey};

use super::{Engine, lock, size_of};

impl Engine {
    /// Leaves that the last witnessed checkpoint covers, and those of the last signed one.
    pub fn to_be_witnessed(&self) -> (u64, u64) {
        let witnessed = self.witnessed.load(Ordering::Relaxed);
        (witnessed, self.signed.load(Ordering::Relaxed))
    }

    /// The last signed checkpoint and the proof that it continues the tree of `old` leaves; `None`
    /// when it has fewer, or when there is none yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn submission(&self, old: u64) -> Result<Option<Submission>, ReadError> {
        let note = self.log.published();
        let Some(note) = note.filter(|note| size_of(note) >= old) else {
            return Ok(None);
        };
        let proof = self.log.prove_consistency(old, size_of(&note))?;
        Ok(Some(Submission {
            old_size: old,
            proof,
            note,
        }))
    }

    /// Checks what the witness answered and keeps it beside the log.
    ///
    /// # Errors
    /// [`CosignatureError`]; what was witnessed before stays.
    pub fn keep_witnessed(
        &self,
        witness: &WitnessKey,
        note: &Note,
    ) -> Result<(), CosignatureError> {
        self.log.add_cosignature(witness, note)?;
        self.witnessed.fetch_max(size_of(note), Ordering::Relaxed);
        *lock(&self.unwitnessed) = None;
        Ok(())
    }

    /// Remembers, for health and status, why the log is not witnessed.
    pub fn not_witnessed(&self, why: &str) {
        *lock(&self.unwitnessed) = Some(format!("the audit log is not witnessed: {why}"));
    }
}
