//! The name of a key.

use std::fmt;
use std::str::FromStr;

use obol_credential::Kid;
use sha2::{Digest, Sha256};

/// SHA-256 of a key's DER SubjectPublicKeyInfo: how keys are named everywhere. Shown as 64
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiId(pub [u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is named by 64 lower-case hexadecimal digits")]
pub struct ParseSpkiIdError;

impl SpkiId {
    /// The name of the key with this DER SubjectPublicKeyInfo.
    pub fn of(spki_der: &[u8]) -> SpkiId {
        SpkiId(Sha256::digest(spki_der).into())
    }

    /// The first four bytes: the key's short name inside credentials and trust bundles.
    pub fn kid(self) -> Kid {
        let [a, b, c, d, ..] = self.0;
        Kid([a, b, c, d])
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
    type Err = ParseSpkiIdError;

    fn from_str(text: &str) -> Result<SpkiId, ParseSpkiIdError> {
        let bytes = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| ParseSpkiIdError)?;
        bytes.try_into().map(SpkiId).map_err(|_| ParseSpkiIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_name_reads_back_and_no_other_spelling_is_taken() {
        let id = SpkiId([0xa5; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("a5".repeat(31).parse::<SpkiId>(), Err(ParseSpkiIdError));
        assert_eq!("A5".repeat(32).parse::<SpkiId>(), Err(ParseSpkiIdError));
    }
}
