//! The log's own key: ECDSA on P-256, signature type 0x02 of c2sp.org/signed-note.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::der;
use crate::note::{KeyId, Note, SignatureLine, is_name};
use crate::vkey::{self, VkeyError};

const ECDSA: u8 = 0x02;
/// DER SubjectPublicKeyInfo of a P-256 key up to its uncompressed point (RFC 5480 section 2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A log's name and public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    name: String,
    key: VerifyingKey,
    spki: Vec<u8>,
    key_id: KeyId,
}

/// Why a note is not believed to be by a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignatureRefused {
    /// No line by that key.
    #[error("no signature by {name}, key {key_id}")]
    Missing {
        /// Name of the key asked for.
        name: String,
        /// Its id.
        key_id: KeyId,
    },
    /// A line by that key does not verify: the text was changed, or the line.
    #[error("the signature by {name}, key {key_id}, does not fit the text")]
    Wrong {
        /// Name of the key.
        name: String,
        /// Its id.
        key_id: KeyId,
    },
}

impl LogKey {
    /// A key from its DER SubjectPublicKeyInfo (uncompressed point). `None` for another key than
    /// one on P-256, and for a name that is empty, has spaces or a `+`, or more than 255 bytes.
    #[must_use]
    pub fn from_spki_der(name: &str, spki: &[u8]) -> Option<Self> {
        let point = spki.strip_prefix(&SPKI_PREFIX)?;
        let key = VerifyingKey::from_sec1_bytes(point).ok()?;
        let digest = Sha256::digest(spki);
        let key_id = KeyId(*digest.first_chunk()?);
        (is_name(name) && point.len() == 65).then(|| Self {
            name: name.to_owned(),
            key,
            spki: spki.to_vec(),
            key_id,
        })
    }

    /// Reads `NAME+KEYID+BASE64`.
    ///
    /// # Errors
    /// [`VkeyError`].
    pub fn from_vkey(text: &str) -> Result<Self, VkeyError> {
        let vkey = vkey::parse(text, ECDSA)?;
        let key = Self::from_spki_der(vkey.name, &vkey.key).ok_or(VkeyError::Key)?;
        vkey.demand_id(key.key_id)?;
        Ok(key)
    }

    /// The key as one line for configurations and command lines.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        vkey::to_text(&self.name, self.key_id, ECDSA, &self.spki)
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 of the SubjectPublicKeyInfo: for ECDSA the name has no part
    /// in it.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The line for a signature that was made over a note's text (ECDSA over its SHA-256, r || s).
    /// `None` unless it verifies: a wrong line never gets into a note.
    #[must_use]
    pub fn line(&self, text: &str, raw: &[u8; 64]) -> Option<SignatureLine> {
        let line = SignatureLine {
            name: self.name.clone(),
            key_id: self.key_id,
            signature: der::encode(raw),
        };
        self.holds(text, &line).then_some(line)
    }

    /// Checks that the note carries this key's signature. Lines by other keys are ignored.
    ///
    /// # Errors
    /// [`SignatureRefused`].
    pub fn verify(&self, note: &Note) -> Result<(), SignatureRefused> {
        let (name, key_id) = (self.name.clone(), self.key_id);
        let mut lines = note.by(&self.name, key_id).peekable();
        if lines.peek().is_none() {
            return Err(SignatureRefused::Missing { name, key_id });
        }
        if lines.all(|line| self.holds(note.text(), line)) {
            Ok(())
        } else {
            Err(SignatureRefused::Wrong { name, key_id })
        }
    }

    fn holds(&self, text: &str, line: &SignatureLine) -> bool {
        der::decode(&line.signature)
            .and_then(|raw| Signature::from_slice(&raw).ok())
            .is_some_and(|signature| self.key.verify(text.as_bytes(), &signature).is_ok())
    }
}
