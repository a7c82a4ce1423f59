//! Why nothing was released.

use obol_kms_audit::AuditError;
use obol_kms_client::SpkiId;
use obol_kms_policy::Denied;
use obol_kms_registry::{CountError, Fault, NotSignable};

use crate::credential::ClaimsRefusal;
use crate::payload::{LintRefusal, PayloadRefusal};
use crate::signer::SignerError;

/// Why nothing was released. What was refused stands in the audit log with these words.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not registered, or in no token of this engine, or of a kind that signs nothing here.
    #[error("key {0} is not served here")]
    UnknownKey(SpkiId),
    /// The payload is not what it is said to be, or not for keys of this class.
    #[error(transparent)]
    Payload(#[from] PayloadRefusal),
    /// A hard rule refused the claims.
    #[error(transparent)]
    Claims(#[from] ClaimsRefusal),
    /// A certificate or revocation list breaks rules.
    #[error(transparent)]
    Lint(#[from] LintRefusal),
    /// Another hard rule: no policy permits what it refuses.
    #[error("{0}")]
    Rule(&'static str),
    /// The key's state or class forbids it.
    #[error(transparent)]
    NotSignable(#[from] NotSignable),
    /// The policy does not permit it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The key or the client's share of it is used up.
    #[error(transparent)]
    Count(#[from] CountError),
    /// The registry could not be read: nothing is signed.
    #[error(transparent)]
    Registry(#[from] Fault),
    /// The audit log took no entry: nothing is signed.
    #[error("nothing is signed without an audit log")]
    Audit(#[source] AuditError),
    /// The token gave no signature.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The token gave something that its own public key does not verify.
    #[error(
        "C_Sign: the token returned a signature that key {0} does not verify; it was not released"
    )]
    NotVerified(SpkiId),
}

impl EngineError {
    /// What refused or failed, for metrics.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            EngineError::UnknownKey(_) => Outcome::UnknownKey,
            EngineError::Payload(_)
            | EngineError::Claims(_)
            | EngineError::Lint(_)
            | EngineError::Rule(_) => Outcome::Payload,
            EngineError::NotSignable(NotSignable::Fault(_))
            | EngineError::Count(CountError::Fault(_))
            | EngineError::Registry(_) => Outcome::Registry,
            EngineError::NotSignable(_) => Outcome::State,
            EngineError::Denied(_) => Outcome::Denied,
            EngineError::Count(_) => Outcome::Quota,
            EngineError::Audit(_) => Outcome::Audit,
            EngineError::Signer(_) | EngineError::NotVerified(_) => Outcome::Token,
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Signed,
    UnknownKey,
    Payload,
    State,
    Denied,
    Quota,
    Registry,
    Audit,
    Token,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 9] = [
        Outcome::Signed,
        Outcome::UnknownKey,
        Outcome::Payload,
        Outcome::State,
        Outcome::Denied,
        Outcome::Quota,
        Outcome::Registry,
        Outcome::Audit,
        Outcome::Token,
    ];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Signed => "signed",
            Outcome::UnknownKey => "unknown-key",
            Outcome::Payload => "payload",
            Outcome::State => "state",
            Outcome::Denied => "denied",
            Outcome::Quota => "quota",
            Outcome::Registry => "registry-failed",
            Outcome::Audit => "audit-failed",
            Outcome::Token => "token-failed",
        }
    }
}
