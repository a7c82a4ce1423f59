//! What a client may see of the audit log: the leaves that it caused itself.

use obol_kms_audit::{Proof, ReadError};
use obol_kms_policy::Client;
use obol_log::Leaf;

use super::Engine;

/// Why a leaf is not proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofRefused {
    /// No such leaf, or not this client's.
    #[error("there is no leaf {0} of this client in the audit log")]
    Unknown(u64),
    /// The last checkpoint is older.
    #[error("the last checkpoint covers {signed} leaves, and not yet leaf {leaf}")]
    NotCovered {
        /// What was asked for.
        leaf: u64,
        /// Leaves that are covered.
        signed: u64,
    },
    /// The log's files cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Engine {
    /// A leaf that `client` caused, with the proof that it stands under the last checkpoint. Reads
    /// files: for a thread that may wait.
    ///
    /// # Errors
    /// [`ProofRefused`].
    pub fn prove(&self, leaf: u64, client: &Client) -> Result<Proof, ProofRefused> {
        if leaf >= self.log.size() {
            return Err(ProofRefused::Unknown(leaf));
        }
        let proof = match self.log.prove(leaf) {
            Ok(proof) => proof,
            Err(ReadError::OutOfRange { size: signed, .. }) => {
                return Err(ProofRefused::NotCovered { leaf, signed });
            }
            Err(error) => return Err(error.into()),
        };
        match Leaf::decode(&proof.entry) {
            Ok(read) if read.actor == client.name() => Ok(proof),
            _ => Err(ProofRefused::Unknown(leaf)),
        }
    }
}
