//! What turns a digest into a signature: a token in this process, or one in a worker process.

use std::sync::Arc;
use std::time::Instant;

use obol_kms_client::SpkiId;

use crate::digest::Digest;
use crate::error::ErrorClass;
use crate::gate::{Health, Outage};
use crate::pool::PoolError;
use crate::token::{SignError, Token};
use crate::worker::Worker;

/// Where keys live. It stays inside the crate: digests have no way in from outside.
pub(crate) trait Signer: Send + Sync {
    /// Signs with `CKM_ECDSA` and returns raw r||s, which the caller has to verify.
    fn sign(&self, key: SpkiId, digest: &Digest, deadline: Instant)
    -> Result<Vec<u8>, SignerError>;

    fn status(&self) -> TokenStatus;

    /// What is due about once a second.
    fn tend(&self);
}

/// A token that signs for an [`Engine`](crate::engine::Engine): in this process, or behind a worker.
#[derive(Clone)]
pub struct Backend(pub(crate) Arc<dyn Signer>);

/// How a token is, for health checks and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// Label of the token.
    pub label: String,
    /// Serial number of the token: with it the registry says which keys it holds.
    pub serial: String,
    /// Whether it signs.
    pub health: Health,
    /// How often the module was initialised in its present process.
    pub generation: u64,
    /// How often its worker process was started again; 0 without a worker.
    pub restarts: u64,
    /// Failed PKCS#11 calls by class, in the order of [`ErrorClass::ALL`], repaired ones included.
    pub errors: [u64; ErrorClass::ALL.len()],
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The deadline passed.
    #[error("not signed before the deadline: {0}")]
    Timeout(String),
    /// The token cannot be reached now; it is tried again without anybody's help.
    #[error("{0}")]
    Away(String),
    /// Only a person can help.
    #[error("{0}")]
    Sealed(String),
    /// The key is not in the token, or must not be used.
    #[error("{0}")]
    NoKey(String),
    /// A call failed for good.
    #[error("{reason}")]
    Failed {
        /// What kind of failure.
        class: ErrorClass,
        /// The call and its answer.
        reason: String,
    },
}

impl Signer for Token {
    fn sign(
        &self,
        key: SpkiId,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Vec<u8>, SignerError> {
        Ok(self.sign_digest(key, digest, deadline)?)
    }

    fn status(&self) -> TokenStatus {
        TokenStatus {
            label: self.label().to_owned(),
            serial: self.serial().to_owned(),
            health: self.health(),
            generation: self.generation(),
            restarts: 0,
            errors: self.errors().map(|(_, count)| count),
        }
    }

    fn tend(&self) {
        Token::tend(self);
    }
}

impl From<Token> for Backend {
    fn from(token: Token) -> Backend {
        Backend(Arc::new(token))
    }
}

impl From<Worker> for Backend {
    fn from(worker: Worker) -> Backend {
        Backend(Arc::new(worker))
    }
}

impl From<SignError> for SignerError {
    fn from(error: SignError) -> SignerError {
        match error {
            SignError::Pool(PoolError::Busy { .. }) => SignerError::Timeout(error.to_string()),
            SignError::Pool(PoolError::Outage(outage)) => match outage {
                Outage::Deadline(_) => SignerError::Timeout(outage.to_string()),
                Outage::Away(_) => SignerError::Away(outage.to_string()),
                Outage::Sealed(_) => SignerError::Sealed(outage.to_string()),
            },
            SignError::Pool(PoolError::Call(call)) => SignerError::Failed {
                class: call.class(),
                reason: call.to_string(),
            },
            SignError::Find(error) => SignerError::NoKey(crate::token::chain(&error)),
            SignError::NotVerified(_) => SignerError::Failed {
                class: ErrorClass::Request,
                reason: error.to_string(),
            },
        }
    }
}
