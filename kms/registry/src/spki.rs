use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// SHA-256 of a key's DER SubjectPublicKeyInfo: how keys are named everywhere. Shown as 64
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiId(pub [u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 64 lower-case hexadecimal digits")]
pub struct NotASpkiId(String);

impl SpkiId {
    /// The name of the key with this DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of(spki_der: &[u8]) -> SpkiId {
        SpkiId(Sha256::digest(spki_der).into())
    }
}

impl fmt::Display for SpkiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SpkiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpkiId({self})")
    }
}

impl FromStr for SpkiId {
    type Err = NotASpkiId;

    fn from_str(text: &str) -> Result<SpkiId, NotASpkiId> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(SpkiId)
            .ok_or_else(|| NotASpkiId(text.to_owned()))
    }
}
