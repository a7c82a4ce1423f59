use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use obol_credential::DeviceKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// A P-256 private key; zeroed on drop, never shown.
#[derive(Clone)]
pub struct Key(SigningKey);

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The bytes are zero or not below the curve's order.
    #[error("the bytes are no private key of P-256")]
    OutOfRange,
}

impl Key {
    /// Draws a key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError`]; a draw out of range happens once in 2^32.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Self::from_bytes(&bytes)
    }

    /// The key with this scalar, big-endian.
    ///
    /// # Errors
    /// [`KeyError::OutOfRange`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(bytes)
            .map(Self)
            .map_err(|_| KeyError::OutOfRange)
    }

    /// The public half as a credential names it.
    ///
    /// # Panics
    /// Never: a compressed point has 33 bytes and begins with 2 or 3.
    #[must_use]
    pub fn public(&self) -> DeviceKey {
        let point = self.0.verifying_key().to_sec1_point(true);
        let bytes = point.as_bytes().try_into().ok();
        bytes
            .and_then(DeviceKey::from_sec1)
            .expect("a compressed point")
    }

    /// The affine coordinates of the public half, big-endian.
    ///
    /// # Panics
    /// Never: an uncompressed point is 4, x, y.
    #[must_use]
    pub fn coordinates(&self) -> ([u8; 32], [u8; 32]) {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let part = |bytes: &[u8]| bytes.try_into().expect("an uncompressed point is 4, x, y");
        (part(x), part(y))
    }

    /// ECDSA with SHA-256 (deterministic, RFC 6979), r ‖ s.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }
}

/// Shows the public half.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.public()).finish()
    }
}

/// For the wallet's own file alone: base64url of the scalar.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = Zeroizing::new(<[u8; 32]>::from(self.0.to_bytes()));
        serializer.serialize_str(&Zeroizing::new(BASE64URL_NOPAD.encode(&*bytes)))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| D::Error::custom("a key is base64url"))?;
        let scalar = bytes
            .as_slice()
            .try_into()
            .map_err(|_| D::Error::custom("a key is 32 bytes"))?;
        Self::from_bytes(scalar).map_err(D::Error::custom)
    }
}
