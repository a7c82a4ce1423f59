//! The bridge between the certificate builder and whoever signs.

use std::cell::RefCell;

use p256::ecdsa::signature::Signer;
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::keys::Key;
use crate::pool::PoolError;
use crate::public_key::{Curve, PublicKey};
use crate::token::{SignError, Token};
use crate::x509::CertificateError;

/// Random scalars that may lie outside the curve's order; one in 2^32 does for P-256.
const SCALAR_TRIES: usize = 4;

/// What makes a signature over the bytes to be signed: DER `ECDSA-Sig-Value`.
type Sign<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, SignError>;

/// A public key, and something that signs in its place. It stays private to this module: the
/// builder's trait signs whatever bytes it is given.
pub(super) struct Pen<'a> {
    public: &'a PublicKey,
    sign: Sign<'a>,
    /// The builder's error type has no room for a cause, so the cause waits here.
    failure: RefCell<Option<SignError>>,
}

impl<'a> Pen<'a> {
    pub(super) fn new(public: &'a PublicKey, sign: Sign<'a>) -> Pen<'a> {
        Pen {
            public,
            sign,
            failure: RefCell::new(None),
        }
    }

    /// The signer's own error, if it was the signer that failed.
    pub(super) fn explain(&self, error: rcgen::Error) -> CertificateError {
        match self.failure.take() {
            Some(cause) => cause.into(),
            None => CertificateError::Encoding(error.to_string()),
        }
    }
}

impl PublicKeyData for Pen<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_sec1()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        algorithm_of(self.public)
    }
}

impl SigningKey for Pen<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        (self.sign)(message).map_err(|cause| {
            self.failure.replace(Some(cause));
            rcgen::Error::RemoteKeyError
        })
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

/// What an authority needs of its token. Two stand behind it: a token, and in tests a key in memory.
pub(super) trait Desk {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
    fn random(&self, length: u32) -> Result<Vec<u8>, PoolError>;
}

/// A key in a token.
#[derive(Debug)]
pub(super) struct TokenDesk<'a> {
    pub(super) token: &'a Token,
    pub(super) key: &'a Key,
}

impl Desk for TokenDesk<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.token.sign(self.key, message)?.to_der())
    }

    fn random(&self, length: u32) -> Result<Vec<u8>, PoolError> {
        self.token.random(length)
    }
}

/// A key that lives for one rehearsal. It signs what the authority's key would sign, so that the
/// result can be linted before the authority's key has signed anything.
pub(super) enum Throwaway {
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
}

impl Throwaway {
    /// A key on the same curve as `public`, from the desk's random bytes.
    pub(super) fn like(public: &PublicKey, desk: &dyn Desk) -> Result<Throwaway, CertificateError> {
        for _ in 0..SCALAR_TRIES {
            let key = match public.curve() {
                Curve::P256 => {
                    let scalar = desk.random(32).map_err(CertificateError::Random)?;
                    let key = p256::ecdsa::SigningKey::from_slice(&scalar).ok();
                    key.map(|key| Throwaway::P256(Box::new(key)))
                }
                Curve::P384 => {
                    let scalar = desk.random(48).map_err(CertificateError::Random)?;
                    let key = p384::ecdsa::SigningKey::from_slice(&scalar).ok();
                    key.map(|key| Throwaway::P384(Box::new(key)))
                }
            };
            if let Some(key) = key {
                return Ok(key);
            }
        }
        Err(CertificateError::Throwaway)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Throwaway::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Throwaway::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
        }
    }
}
