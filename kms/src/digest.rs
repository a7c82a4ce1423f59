//! The only values that reach `CKM_ECDSA`.
//!
//! The mechanism signs digests of any length without a word (a 1-byte and a 64-byte input alike on
//! a P-384 key), so length is a matter of types here: a digest is one of two arrays, made only by
//! hashing (in the worker process: by the daemon's hashing), and the type never leaves the crate.

use sha2::{Digest as _, Sha256, Sha384};

use crate::public_key::Curve;

/// SHA-256 output.
pub(crate) struct Digest256([u8; 32]);

/// SHA-384 output.
pub(crate) struct Digest384([u8; 48]);

/// What a key on a curve signs.
pub(crate) enum Digest {
    Sha256(Digest256),
    Sha384(Digest384),
}

impl Digest256 {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Digest384 {
    pub(crate) fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }
}

impl Digest {
    /// Hashes `message` with the hash that belongs to `curve`.
    pub(crate) fn of(curve: Curve, message: &[u8]) -> Digest {
        match curve {
            Curve::P256 => Digest::Sha256(Digest256(Sha256::digest(message).into())),
            Curve::P384 => Digest::Sha384(Digest384(Sha384::digest(message).into())),
        }
    }

    /// In the worker: the daemon hashed.
    pub(crate) fn from_daemon_256(bytes: [u8; 32]) -> Digest {
        Digest::Sha256(Digest256(bytes))
    }

    /// In the worker: the daemon hashed.
    pub(crate) fn from_daemon_384(bytes: [u8; 48]) -> Digest {
        Digest::Sha384(Digest384(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Digest::Sha256(digest) => digest.as_bytes(),
            Digest::Sha384(digest) => digest.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_another_length_cannot_be_signed() {
        assert_eq!(Digest::of(Curve::P256, b"").as_bytes().len(), 32);
        assert_eq!(Digest::of(Curve::P384, &[7; 1000]).as_bytes().len(), 48);
    }
}
