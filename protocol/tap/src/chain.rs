use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::{TerminalName, hex};

/// What the first head of every journal begins with (docs/spec/tap.md section 3).
const ORIGIN_DOMAIN: &[u8] = b"obol tap journal 1\0";

/// 64 random bits made together with a journal: two journals of one terminal never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub [u8; 8]);

/// The state of the hash chain behind a record: it commits to every record up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head(pub [u8; 32]);

impl Head {
    /// The head before the first record: SHA-256 of a domain string, the terminal and the epoch.
    #[must_use]
    pub fn origin(terminal: &TerminalName, epoch: Epoch) -> Self {
        let hash = Sha256::new()
            .chain_update(ORIGIN_DOMAIN)
            .chain_update(terminal.as_str())
            .chain_update(epoch.0);
        Self(hash.finalize().into())
    }

    /// The head behind `record`: SHA-256 of this head and the record's bytes.
    #[must_use]
    pub fn then(self, record: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(self.0).chain_update(record);
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(self, serializer)
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}
