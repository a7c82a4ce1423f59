use core::fmt;

use obol_credential::{Algorithm, Encoded, Kid, NAME_MAX, UnixTime, is_name};
use sha2::{Digest, Sha256};

/// The transport operator that a key and a terminal serve: 1 to 32 characters of `a-z 0-9 -`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator(Encoded<NAME_MAX>);

impl Operator {
    /// `None` for another length or another character.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if !is_name(name) {
            return None;
        }
        Encoded::copy_of(name.as_bytes()).map(Self)
    }

    /// The name.
    ///
    /// # Panics
    /// Never: the name was ASCII when it was taken.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("the name was checked to be ASCII")
    }
}

/// First and last second at which an issuer key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first good second.
    pub not_before: UnixTime,
    /// The last good second.
    pub not_after: UnixTime,
}

impl Validity {
    pub(crate) fn covers(&self, time: UnixTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

/// Whether an issuer key is to be believed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// In use, or retiring: its credentials are good.
    Trusted,
    /// Blocked: every credential of it is refused with `KEY_SUSPENDED`.
    Suspended,
}

/// An issuer key that a terminal believes, within its scope.
#[derive(Clone, Debug)]
pub struct IssuerKey {
    kid: Kid,
    point: PublicPoint,
    /// When the key is good.
    pub validity: Validity,
    /// The operator it may issue for.
    pub operator: Operator,
    /// The rider classes it may issue, one bit each.
    pub classes: u32,
    /// Whether it is suspended.
    pub status: KeyStatus,
}

#[derive(Clone, Debug)]
enum PublicPoint {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

/// The bytes are not a point of the algorithm's curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRefused;

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the public key is not a point on its curve")
    }
}

impl core::error::Error for KeyRefused {}

/// SubjectPublicKeyInfo of an uncompressed point, up to the point (RFC 5480 section 2).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const SPKI_P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

impl IssuerKey {
    /// A trusted key from its SEC1 point (compressed or not); the kid follows from the key.
    ///
    /// # Errors
    /// [`KeyRefused`] when the bytes are not a point of the algorithm's curve.
    pub fn new(
        algorithm: Algorithm,
        sec1: &[u8],
        validity: Validity,
        operator: Operator,
        classes: u32,
    ) -> Result<Self, KeyRefused> {
        let point = match algorithm {
            Algorithm::Esp256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1)
                .map(PublicPoint::P256)
                .map_err(|_| KeyRefused)?,
            Algorithm::Esp384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(sec1)
                .map(PublicPoint::P384)
                .map_err(|_| KeyRefused)?,
        };
        let kid = point.kid();
        Ok(Self {
            kid,
            point,
            validity,
            operator,
            classes,
            status: KeyStatus::Trusted,
        })
    }

    /// The key's name: the first four bytes of the SHA-256 of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// The one algorithm the key is pinned to.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.point {
            PublicPoint::P256(_) => Algorithm::Esp256,
            PublicPoint::P384(_) => Algorithm::Esp384,
        }
    }

    /// Whether `sec1`, a compressed point, is this key.
    #[cfg(feature = "x509")]
    pub(crate) fn has_point(&self, sec1: &[u8]) -> bool {
        match &self.point {
            PublicPoint::P256(key) => key.to_sec1_point(true).as_bytes() == sec1,
            PublicPoint::P384(key) => key.to_sec1_point(true).as_bytes() == sec1,
        }
    }

    pub(crate) fn serves(&self, operator: &Operator, class: u8) -> bool {
        self.operator == *operator && self.classes & (1 << u32::from(class)) != 0
    }

    /// Whether `signature` (r ‖ s) over `input` is this key's.
    pub(crate) fn signed(&self, input: &[u8], signature: &[u8]) -> bool {
        use p384::ecdsa::signature::Verifier;
        match &self.point {
            PublicPoint::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(input, &signature).is_ok()),
            PublicPoint::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(input, &signature).is_ok()),
        }
    }
}

impl PublicPoint {
    fn kid(&self) -> Kid {
        let spki = match self {
            Self::P256(key) => Sha256::new_with_prefix(SPKI_P256)
                .chain_update(key.to_sec1_point(false).as_bytes())
                .finalize(),
            Self::P384(key) => Sha256::new_with_prefix(SPKI_P384)
                .chain_update(key.to_sec1_point(false).as_bytes())
                .finalize(),
        };
        Kid([spki[0], spki[1], spki[2], spki[3]])
    }
}

/// The issuer keys a terminal believes at this moment.
#[derive(Clone, Copy, Debug)]
pub struct TrustStore<'a> {
    keys: &'a [IssuerKey],
}

impl<'a> TrustStore<'a> {
    /// Believes `keys`, and no other.
    #[must_use]
    pub const fn new(keys: &'a [IssuerKey]) -> Self {
        Self { keys }
    }

    pub(crate) fn find(&self, kid: Kid, algorithm: Algorithm) -> Option<&'a IssuerKey> {
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.algorithm() == algorithm)
    }
}
