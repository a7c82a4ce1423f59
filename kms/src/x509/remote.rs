//! The bridge between the certificate builder and the token.

use std::sync::{Mutex, PoisonError};

use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::keys::Key;
use crate::public_key::{Curve, PublicKey};
use crate::token::{SignError, Token};
use crate::x509::CertificateError;

/// A key in a token as the certificate builder wants it. It stays private: the builder's trait signs
/// whatever bytes it is given.
pub(super) struct TokenSigner<'a> {
    token: &'a Token,
    key: &'a Key,
    /// The builder's error type has no room for a cause, so the cause waits here.
    failure: Mutex<Option<SignError>>,
}

impl<'a> TokenSigner<'a> {
    pub(super) fn new(token: &'a Token, key: &'a Key) -> TokenSigner<'a> {
        TokenSigner {
            token,
            key,
            failure: Mutex::new(None),
        }
    }

    /// The token's own error, if it was the token that failed.
    pub(super) fn explain(&self, error: rcgen::Error) -> CertificateError {
        match self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            Some(cause) => cause.into(),
            None => CertificateError::Encoding(error.to_string()),
        }
    }
}

impl PublicKeyData for TokenSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.public().as_sec1()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        algorithm_of(self.key.public())
    }
}

impl SigningKey for TokenSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self.token.sign(self.key, message) {
            Ok(signature) => Ok(signature.to_der()),
            Err(cause) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
                Err(rcgen::Error::RemoteKeyError)
            }
        }
    }
}

/// The subject's key.
pub(super) struct Subject<'a>(pub(super) &'a PublicKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_sec1()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        algorithm_of(self.0)
    }
}

fn algorithm_of(key: &PublicKey) -> &'static SignatureAlgorithm {
    match key.curve() {
        Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Curve::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
    }
}
