//! Verifier keys as text (c2sp.org/signed-note): `NAME+KEYID+BASE64(TYPE || KEY)`.

use alloc::{format, string::String, vec::Vec};

use data_encoding::{BASE64, HEXLOWER};
use thiserror::Error;

use crate::base64;
use crate::note::{KeyId, is_name};

const VKEY_MAX: usize = 1024;

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VkeyError {
    /// Not `NAME+KEYID+BASE64`.
    #[error("not NAME+KEYID+BASE64")]
    Shape,
    /// Another type of signature than the one asked for.
    #[error("a key for signatures of type 0x{found:02x}, not 0x{expected:02x}")]
    Type {
        /// The type byte seen.
        found: u8,
        /// The type byte wanted.
        expected: u8,
    },
    /// The bytes are no key of the type.
    #[error("no public key of its type")]
    Key,
    /// The key id does not belong to the key.
    #[error("key id {found} where the key has {expected}")]
    KeyId {
        /// As written.
        found: KeyId,
        /// As computed.
        expected: KeyId,
    },
}

/// The parts of a verifier key; the key id is not compared yet.
pub(crate) struct Vkey<'a> {
    pub(crate) name: &'a str,
    pub(crate) key_id: KeyId,
    pub(crate) key: Vec<u8>,
}

pub(crate) fn parse(text: &str, expected: u8) -> Result<Vkey<'_>, VkeyError> {
    if text.len() > VKEY_MAX {
        return Err(VkeyError::Shape);
    }
    let (name, rest) = text.split_once('+').ok_or(VkeyError::Shape)?;
    let (key_id, bytes) = rest.split_once('+').ok_or(VkeyError::Shape)?;
    let key_id = HEXLOWER.decode(key_id.as_bytes()).ok();
    let key_id = key_id.and_then(|bytes| bytes.try_into().ok());
    let bytes = base64::decode(bytes);
    let (Some(key_id), Some(bytes), true) = (key_id, bytes, is_name(name)) else {
        return Err(VkeyError::Shape);
    };
    let (found, key) = bytes.split_first().ok_or(VkeyError::Shape)?;
    if *found != expected {
        return Err(VkeyError::Type {
            found: *found,
            expected,
        });
    }
    Ok(Vkey {
        name,
        key_id: KeyId(key_id),
        key: key.to_vec(),
    })
}

impl Vkey<'_> {
    pub(crate) fn demand_id(&self, expected: KeyId) -> Result<(), VkeyError> {
        let found = self.key_id;
        if found == expected {
            Ok(())
        } else {
            Err(VkeyError::KeyId { found, expected })
        }
    }
}

pub(crate) fn to_text(name: &str, key_id: KeyId, kind: u8, key: &[u8]) -> String {
    let mut bytes = alloc::vec![kind];
    bytes.extend_from_slice(key);
    format!("{name}+{key_id}+{}", BASE64.encode(&bytes))
}
