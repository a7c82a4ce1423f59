//! What a key may be asked to sign: parsed here again, from bytes, whoever made them.
//!
//! ```text
//!  type, bytes ─▶ TypedPayload::parse ─▶ permitted_for(class) ─▶ [lint] ─▶ signature_input(key)
//!                 strict, one type       contents too                      built here, never given
//! ```
//!
//! A key of one class never signs what another class's verifier could take for its own: each type
//! begins in another way, and each parser refuses the others' bytes.

mod certificate;
mod day_root;
mod offline;
mod tuf;

use obol_credential::{Claims, Malformed, credential_signature_input};
use obol_kms_registry::{Class, PayloadType};
use obol_log::{Checkpoint, CheckpointError};

use crate::public_key::PublicKey;

pub use certificate::{CertificatePayload, LintRefusal, ListPayload};
pub use day_root::{BOOK_MAX, DayRoot};
pub use obol_trust::json::NotStrictJson;
pub use offline::{SignTufError, TufSignature, sign_tuf, tuf_key_id, verify_tuf};
pub use tuf::{TufMetadata, TufRefusal};

/// Longest payload of any type, in bytes.
pub const PAYLOAD_MAX: usize = 8 * 1024 * 1024;

/// A payload that was parsed as what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypedPayload {
    /// Claims of a credential. Its hard rules (clock, window, class) are the issuer key's.
    CredentialClaims(Vec<u8>),
    /// TBSCertificate.
    TbsCertificate(CertificatePayload),
    /// TBSCertList.
    Crl(ListPayload),
    /// The `signed` part of TUF metadata.
    Tuf(TufMetadata),
    /// Text of a checkpoint, three lines.
    LogCheckpoint(Checkpoint),
    /// Root of a closed day.
    LedgerDayRoot(DayRoot),
}

/// Why a payload is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadRefusal {
    /// Longer than any payload.
    #[error("a payload of {0} bytes, more than {PAYLOAD_MAX}")]
    TooLong(usize),
    /// Not the deterministic encoding of its type.
    #[error("the {payload} is malformed: {fault}")]
    Malformed {
        /// What it was said to be.
        payload: PayloadType,
        /// The first byte that is wrong.
        fault: Malformed,
    },
    /// Not DER of its structure.
    #[error("the {payload} is malformed: {fault}")]
    NotDer {
        /// What it was said to be.
        payload: PayloadType,
        /// Where it stops being what was wanted.
        fault: String,
    },
    /// A certificate of no profile.
    #[error("the certificate is of no profile")]
    NoProfile,
    /// Not TUF metadata of its role.
    #[error(transparent)]
    Tuf(#[from] TufRefusal),
    /// Not text.
    #[error("the checkpoint is not UTF-8")]
    NotText,
    /// Not a checkpoint.
    #[error("the checkpoint is malformed: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Extension lines say what nobody here has checked.
    #[error("the checkpoint has more than three lines")]
    CheckpointExtensions,
    /// Keys of this class sign other things.
    #[error("a key of class {class} may not sign this: {what}")]
    Class {
        /// The key's class.
        class: Class,
        /// What it is.
        what: String,
    },
    /// The algorithm inside is not the key's.
    #[error("what it says of its signature algorithm is not what this key makes")]
    Algorithm,
}

impl TypedPayload {
    /// Reads `bytes` as `payload` and as nothing else.
    ///
    /// # Errors
    /// [`PayloadRefusal`].
    pub fn parse(payload: PayloadType, bytes: &[u8]) -> Result<TypedPayload, PayloadRefusal> {
        if bytes.len() > PAYLOAD_MAX {
            return Err(PayloadRefusal::TooLong(bytes.len()));
        }
        let malformed = |fault| PayloadRefusal::Malformed { payload, fault };
        Ok(match payload {
            PayloadType::CredentialClaims => {
                Claims::decode(bytes).map_err(malformed)?;
                TypedPayload::CredentialClaims(bytes.to_vec())
            }
            PayloadType::TbsCertificate => {
                TypedPayload::TbsCertificate(CertificatePayload::parse(bytes)?)
            }
            PayloadType::Crl => TypedPayload::Crl(ListPayload::parse(bytes)?),
            PayloadType::TufRoot
            | PayloadType::TufTargets
            | PayloadType::TufSnapshot
            | PayloadType::TufTimestamp => TypedPayload::Tuf(TufMetadata::parse(payload, bytes)?),
            PayloadType::LogCheckpoint => TypedPayload::LogCheckpoint(checkpoint(bytes)?),
            PayloadType::LedgerDayRoot => {
                TypedPayload::LedgerDayRoot(DayRoot::decode(bytes).map_err(malformed)?)
            }
        })
    }

    /// What it is.
    pub fn payload_type(&self) -> PayloadType {
        match self {
            TypedPayload::CredentialClaims(_) => PayloadType::CredentialClaims,
            TypedPayload::TbsCertificate(_) => PayloadType::TbsCertificate,
            TypedPayload::Crl(_) => PayloadType::Crl,
            TypedPayload::Tuf(metadata) => metadata.payload_type(),
            TypedPayload::LogCheckpoint(_) => PayloadType::LogCheckpoint,
            TypedPayload::LedgerDayRoot(_) => PayloadType::LedgerDayRoot,
        }
    }

    /// Whether a key of `class` may sign it: by its type, and by what it says.
    ///
    /// # Errors
    /// [`PayloadRefusal::Class`].
    pub fn permitted_for(&self, class: Class) -> Result<(), PayloadRefusal> {
        let refused = |what: String| PayloadRefusal::Class { class, what };
        if !class.payloads().contains(&self.payload_type()) {
            return Err(refused(self.payload_type().to_string()));
        }
        match self {
            TypedPayload::TbsCertificate(certificate) => {
                certificate.permitted_for(class).map_err(refused)
            }
            TypedPayload::Tuf(metadata) => metadata.permitted_for(class).map_err(refused),
            _ => Ok(()),
        }
    }

    /// The bytes that are hashed and signed by `key`.
    ///
    /// # Errors
    /// [`PayloadRefusal::Algorithm`] where the payload names another algorithm than the key's.
    pub fn signature_input(&self, key: &PublicKey) -> Result<Vec<u8>, PayloadRefusal> {
        match self {
            TypedPayload::CredentialClaims(claims) => {
                let (algorithm, kid) = (key.curve().algorithm(), key.spki_id().kid());
                let input = credential_signature_input(algorithm, kid, claims);
                let payload = PayloadType::CredentialClaims;
                input
                    .map(|input| input.to_vec())
                    .map_err(|fault| PayloadRefusal::Malformed { payload, fault })
            }
            TypedPayload::TbsCertificate(certificate) => certificate.signature_input(key),
            TypedPayload::Crl(list) => list.signature_input(key),
            TypedPayload::Tuf(metadata) => Ok(metadata.canonical().to_vec()),
            // C2SP signed-note: the signature is over the text, its last newline included.
            TypedPayload::LogCheckpoint(checkpoint) => Ok(checkpoint.to_text().into_bytes()),
            TypedPayload::LedgerDayRoot(root) => Ok(root.encode()),
        }
    }
}

fn checkpoint(bytes: &[u8]) -> Result<Checkpoint, PayloadRefusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| PayloadRefusal::NotText)?;
    let checkpoint = Checkpoint::parse(text)?;
    if checkpoint.to_text() != text {
        return Err(PayloadRefusal::CheckpointExtensions);
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests;
