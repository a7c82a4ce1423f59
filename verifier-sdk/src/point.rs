//! Public keys on the two curves, and who does their arithmetic.

use obol_credential::Algorithm;
use p384::ecdsa::signature::Verifier as _;
use sha2::{Digest, Sha256};

use crate::{KeyRefused, Tables};

/// Whose arithmetic verifies. All decide alike; a test compares them. The choice is spelt out, so
/// that a feature which some other package turns on changes nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The `p256` and `p384` crates, with tables where there are some.
    #[default]
    RustCrypto,
    /// AWS-LC: C and assembly, needs an operating system.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

/// A point on either curve, ready for each backend that is compiled in.
#[derive(Clone, Debug)]
pub(crate) struct PublicPoint {
    key: Key,
    #[cfg(feature = "aws-lc")]
    aws_lc: aws_lc_rs::signature::ParsedPublicKey,
}

#[derive(Clone, Debug)]
enum Key {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

/// SubjectPublicKeyInfo of an uncompressed point, up to the point (RFC 5480 section 2).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SPKI_P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

impl PublicPoint {
    /// A key from its SEC1 point, compressed or not.
    pub(crate) fn new(algorithm: Algorithm, sec1: &[u8]) -> Result<Self, KeyRefused> {
        let key = match algorithm {
            Algorithm::Esp256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map(Key::P256),
            Algorithm::Esp384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map(Key::P384),
        };
        Ok(Self {
            key: key.map_err(|_| KeyRefused)?,
            #[cfg(feature = "aws-lc")]
            aws_lc: aws_lc::parsed(algorithm, sec1)?,
        })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.key {
            Key::P256(_) => Algorithm::Esp256,
            Key::P384(_) => Algorithm::Esp384,
        }
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) fn spki_hash(&self) -> [u8; 32] {
        let hash =
            match &self.key {
                Key::P256(key) => Sha256::new_with_prefix(SPKI_P256)
                    .chain_update(key.to_sec1_point(false).as_bytes()),
                Key::P384(key) => Sha256::new_with_prefix(SPKI_P384)
                    .chain_update(key.to_sec1_point(false).as_bytes()),
            };
        hash.finalize().into()
    }

    /// Whether `sec1`, a compressed point, is this key.
    #[cfg(feature = "x509")]
    pub(crate) fn is(&self, sec1: &[u8]) -> bool {
        match &self.key {
            Key::P256(key) => key.to_sec1_point(true).as_bytes() == sec1,
            Key::P384(key) => key.to_sec1_point(true).as_bytes() == sec1,
        }
    }

    /// The point, when it is one that tables are made of.
    pub(crate) fn on_p384(&self) -> Option<&p384::AffinePoint> {
        match &self.key {
            Key::P256(_) => None,
            Key::P384(key) => Some(key.as_affine()),
        }
    }

    /// Whether `signature` (r ‖ s) over `message` is this key's.
    pub(crate) fn has_signed(
        &self,
        message: &[u8],
        signature: &[u8],
        backend: Backend,
        tables: Option<Tables<'_>>,
    ) -> bool {
        match backend {
            Backend::RustCrypto => self.key.has_signed(message, signature, tables),
            #[cfg(feature = "aws-lc")]
            Backend::AwsLc => self.aws_lc.verify_sig(message, signature).is_ok(),
        }
    }
}

impl Key {
    fn has_signed(&self, message: &[u8], signature: &[u8], tables: Option<Tables<'_>>) -> bool {
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P384(key) => {
                let table = tables.and_then(|tables| tables.table_of(key));
                p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| match table {
                    Some(table) => table.verify(message, &signature),
                    None => key.verify(message, &signature).is_ok(),
                })
            }
        }
    }
}

/// Whether the device key `sec1` (P-256, compressed) made `signature` (r ‖ s) over `message`.
///
/// # Errors
/// [`KeyRefused`] when it is not a point.
pub(crate) fn device_has_signed(
    sec1: &[u8],
    message: &[u8],
    signature: &[u8],
    backend: Backend,
) -> Result<bool, KeyRefused> {
    match backend {
        Backend::RustCrypto => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map_err(|_| KeyRefused)?;
            Ok(Key::P256(key).has_signed(message, signature, None))
        }
        #[cfg(feature = "aws-lc")]
        Backend::AwsLc => {
            let key = aws_lc::parsed(Algorithm::Esp256, sec1)?;
            Ok(key.verify_sig(message, signature).is_ok())
        }
    }
}

#[cfg(feature = "aws-lc")]
mod aws_lc {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
    use obol_credential::Algorithm;

    use crate::KeyRefused;

    pub(super) fn parsed(algorithm: Algorithm, sec1: &[u8]) -> Result<ParsedPublicKey, KeyRefused> {
        let with = match algorithm {
            Algorithm::Esp256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Esp384 => &ECDSA_P384_SHA384_FIXED,
        };
        ParsedPublicKey::new(with, sec1).map_err(|_| KeyRefused)
    }
}
