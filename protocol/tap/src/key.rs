use core::fmt;

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use sha2::{Digest, Sha256};

use crate::hex;

/// The SHA-256 of a key's DER SubjectPublicKeyInfo; the `kid` of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiId(pub [u8; 32]);

impl fmt::Display for SpkiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// Everything of a P-256 SubjectPublicKeyInfo (RFC 5480) before the uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_LEN: usize = 65;

/// A terminal's public key: the one of its TLS certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalKey {
    key: VerifyingKey,
    id: SpkiId,
}

impl TerminalKey {
    /// The key of a DER SubjectPublicKeyInfo with an uncompressed P-256 point. `None` for any
    /// other key or encoding.
    #[must_use]
    pub fn from_spki_der(der: &[u8]) -> Option<Self> {
        Self::from_sec1(der.strip_prefix(&SPKI_PREFIX)?)
    }

    /// The key of an uncompressed SEC1 point, 65 bytes. `None` when it is not a point of P-256.
    #[must_use]
    pub fn from_sec1(point: &[u8]) -> Option<Self> {
        if point.len() != POINT_LEN {
            return None;
        }
        let key = VerifyingKey::from_sec1_bytes(point).ok()?;
        let spki = Sha256::new().chain_update(SPKI_PREFIX).chain_update(point);
        let id = SpkiId(spki.finalize().into());
        Some(Self { key, id })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn id(&self) -> SpkiId {
        self.id
    }

    /// ESP256 over `input`; `signature` is r ‖ s.
    pub(crate) fn holds(&self, input: &[u8], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify(input, &signature).is_ok())
    }
}
