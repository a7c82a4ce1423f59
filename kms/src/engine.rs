//! Typed signing: what is asked is parsed, judged, signed, verified, in this order.
//!
//! ```text
//!  payload ─▶ parsed again ─▶ hard rules ─▶ bytes built here ─▶ hash ─▶ Signer ─▶ verified ─▶ released
//! ```
//!
//! The same engine stands behind the daemon's socket and in an integrator's own process; only where
//! the token lives differs ([`Backend`]). Nothing here takes a digest:
//!
//! ```compile_fail,E0616
//! fn a_digest_cannot_be_signed(backend: &obol_kms::Backend) {
//!     let signer = &backend.0; // the signer behind it is private to the crate
//! }
//! ```

use std::time::Instant;

use obol_credential::UnixTime;
use obol_kms_client::SpkiId;

use crate::credential::{ClaimsRefusal, IssuerKey, credential_to_sign};
use crate::digest::Digest;
use crate::public_key::VerifiedSignature;
use crate::signer::{Backend, SignerError, TokenStatus};

/// Where the engine takes the time from.
pub type Clock = fn() -> UnixTime;

/// Typed signing with the keys of one token.
#[derive(Clone)]
pub struct Engine {
    backend: Backend,
    issuers: Vec<IssuerKey>,
    clock: Clock,
}

/// What may be signed, as the caller sent it: it is parsed here again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The deterministic encoding of a credential's claims.
    CredentialClaims(Vec<u8>),
}

/// Why nothing was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine does not serve this key.
    #[error("key {0} is not served here")]
    UnknownKey(SpkiId),
    /// A hard rule refused the claims.
    #[error(transparent)]
    Refused(#[from] ClaimsRefusal),
    /// The token gave no signature.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The token gave something that its own public key does not verify.
    #[error(
        "C_Sign: the token returned a signature that key {0} does not verify; it was not released"
    )]
    NotVerified(SpkiId),
}

impl Engine {
    /// Signs with the keys of `issuers`, which are in the token behind `backend`.
    pub fn new(backend: impl Into<Backend>, issuers: Vec<IssuerKey>, clock: Clock) -> Engine {
        Engine {
            backend: backend.into(),
            issuers,
            clock,
        }
    }

    /// The keys that are served.
    pub fn issuers(&self) -> &[IssuerKey] {
        &self.issuers
    }

    /// How the token is.
    pub fn status(&self) -> TokenStatus {
        self.backend.0.status()
    }

    /// What is due about once a second: repairs and keep-alive of a token in this process.
    pub fn tend(&self) {
        self.backend.0.tend();
    }

    /// Signs `payload` with `key`. It blocks, at the latest until `deadline`; a token in this process
    /// whose module hangs keeps it longer.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was released then.
    pub fn sign(
        &self,
        key: SpkiId,
        payload: &Payload,
        deadline: Instant,
    ) -> Result<VerifiedSignature, EngineError> {
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.id() == key)
            .ok_or(EngineError::UnknownKey(key))?;
        let Payload::CredentialClaims(claims) = payload;
        let to_sign = credential_to_sign(issuer, claims, (self.clock)())?;
        let public = issuer.key().public();
        let digest = Digest::of(public.curve(), &to_sign);
        let raw = self.backend.0.sign(key, &digest, deadline)?;
        // A fault in the device can reveal the key through one bad signature.
        public
            .verify(&digest, &raw)
            .ok_or(EngineError::NotVerified(key))
    }
}
