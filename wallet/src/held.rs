use miette::Diagnostic;
use obol_credential::{
    Credential, Cti, Dynamic, Malformed, Nonce, UnixTime, assemble_presentation,
    presentation_signature_input,
};
use thiserror::Error;

use crate::code::BoardingCode;
use crate::key::Key;

/// A credential with the key that presents it.
#[derive(Clone, Debug)]
pub struct HeldCredential {
    bytes: Vec<u8>,
    device_key: Key,
    cti: Cti,
    expires_at: UnixTime,
    counter: u32,
}

/// Why there is no boarding code.
#[derive(Debug, Error, Diagnostic)]
pub enum PresentError {
    /// The bytes are no credential.
    #[error("the credential is malformed at {0}")]
    #[diagnostic(help("fetch a new one: `obol-wallet refresh`"))]
    Malformed(Malformed),
    /// The credential names another device key.
    #[error("the credential is for another device key than the one that was sent")]
    #[diagnostic(help("fetch a new one: `obol-wallet refresh`"))]
    OtherKey,
    /// The credential's life is over: every terminal would refuse the code.
    #[error("the credential ended at {expires_at}, and now is {now}")]
    #[diagnostic(
        code(refused::cred_expired),
        help("go online and fetch a new one: `obol-wallet refresh`")
    )]
    Expired {
        /// The first second at which it is refused.
        expires_at: UnixTime,
        /// The phone's time.
        now: UnixTime,
    },
    /// Each value of the counter was used.
    #[error("this credential has made {} codes, as many as it can", u32::MAX)]
    #[diagnostic(help("fetch a new one: `obol-wallet refresh`"))]
    UsedUp,
}

impl HeldCredential {
    /// Takes a fresh credential; no code was made of it yet.
    ///
    /// # Errors
    /// [`PresentError::Malformed`], or [`PresentError::OtherKey`] when `device_key` is not the
    /// one it names.
    pub fn new(credential: Vec<u8>, device_key: Key) -> Result<Self, PresentError> {
        Self::resume(credential, device_key, 0)
    }

    /// Takes a credential of which `counter` codes were made.
    ///
    /// # Errors
    /// As [`HeldCredential::new`].
    pub fn resume(bytes: Vec<u8>, device_key: Key, counter: u32) -> Result<Self, PresentError> {
        let claims = *Credential::decode(&bytes)
            .map_err(PresentError::Malformed)?
            .claims();
        if claims.device_key != device_key.public() {
            return Err(PresentError::OtherKey);
        }
        Ok(Self {
            bytes,
            device_key,
            cti: claims.cti,
            expires_at: claims.expires_at,
            counter,
        })
    }

    /// The credential as the issuer signed it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key it names.
    #[must_use]
    pub fn device_key(&self) -> &Key {
        &self.device_key
    }

    /// Its name.
    #[must_use]
    pub fn cti(&self) -> Cti {
        self.cti
    }

    /// The first second at which it is refused.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// How many codes were made of it.
    #[must_use]
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// Makes the next boarding code. Save the counter before the code is shown: two codes of one
    /// count and different times look like a copied key.
    ///
    /// # Errors
    /// [`PresentError`]; the counter is as before.
    pub fn present(&mut self, now: UnixTime, nonce: Nonce) -> Result<BoardingCode, PresentError> {
        if now >= self.expires_at {
            return Err(PresentError::Expired {
                expires_at: self.expires_at,
                now,
            });
        }
        let counter = self.counter.checked_add(1).ok_or(PresentError::UsedUp)?;
        let dynamic = Dynamic {
            issued_at: now,
            nonce,
            counter,
        };
        let input =
            presentation_signature_input(&self.bytes, &dynamic).map_err(PresentError::Malformed)?;
        let signature = self.device_key.sign(&input);
        let presentation = assemble_presentation(&self.bytes, &dynamic, &signature)
            .map_err(PresentError::Malformed)?;
        self.counter = counter;
        Ok(BoardingCode::of(&presentation))
    }
}
