use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::{BASE64, HEXLOWER};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::form::{self, Form, take};
use crate::json::Json;

const KEY_TYPE: &str = "ecdsa";
const SCHEME: &str = "ecdsa-sha2-nistp256";
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
const PEM_LINE: usize = 64;
/// SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point (RFC 5480 section 2).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key's name: lower-case hex of the SHA-256 of its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key as metadata has it. It may be of a kind that nobody here can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    keytype: String,
    scheme: String,
    public: String,
    json: Json,
}

impl Key {
    /// The key of a P-256 point.
    ///
    /// # Panics
    /// Never: an object has members.
    #[must_use]
    pub fn p256(key: &VerifyingKey) -> Key {
        let der = [&SPKI_P256, key.to_sec1_point(false).as_bytes()].concat();
        let base64 = BASE64.encode(&der);
        let mut public = String::from(BEGIN);
        for line in base64.as_bytes().chunks(PEM_LINE) {
            public.push('\n');
            public.extend(line.iter().map(|byte| char::from(*byte)));
        }
        public.push('\n');
        public.push_str(END);
        public.push('\n');
        let json = Json::object([
            ("keytype", Json::text(KEY_TYPE)),
            ("scheme", Json::text(SCHEME)),
            ("keyval", Json::object([("public", Json::Text(public))])),
        ]);
        Key::read(&json).expect("the members were just written")
    }

    pub(super) fn read(json: &Json) -> Form<Key> {
        let keyval = take(json, "keyval", "an object", |value| {
            form::object(value).map(|_| value)
        })?;
        let owned = |value| form::text(value).map(str::to_owned);
        Ok(Key {
            keytype: take(json, "keytype", "a string", owned)?,
            scheme: take(json, "scheme", "a string", owned)?,
            public: take(keyval, "public", "a string", owned)?,
            json: json.clone(),
        })
    }

    /// As it stood, with members that nobody here knows.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.json.clone()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        id_of(&self.json)
    }

    /// Whether `id` names it: by the whole of it, or by type, scheme and value alone, since members
    /// that a tool added later do not make it another key.
    #[must_use]
    pub fn is_named(&self, id: &str) -> bool {
        id_of(&self.json).0 == id || id_of(&self.bare()).0 == id
    }

    /// Whether it has no member but type, scheme and value.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.json == self.bare()
    }

    fn bare(&self) -> Json {
        let value = Json::object([("public", Json::text(&self.public))]);
        Json::object([
            ("keytype", Json::text(&self.keytype)),
            ("scheme", Json::text(&self.scheme)),
            ("keyval", value),
        ])
    }

    /// `keytype`.
    #[must_use]
    pub fn keytype(&self) -> &str {
        &self.keytype
    }

    /// `scheme`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// `keyval.public`: for P-256 a PEM.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The P-256 key, where it is one of scheme `ecdsa-sha2-nistp256`.
    #[must_use]
    pub fn as_p256(&self) -> Option<VerifyingKey> {
        // Older tools wrote the scheme as the type as well.
        let kind = self.keytype == KEY_TYPE || self.keytype == SCHEME;
        if !kind || self.scheme != SCHEME {
            return None;
        }
        let der = pem_content(&self.public)?;
        let point = der.strip_prefix(SPKI_P256.as_slice())?;
        VerifyingKey::from_sec1_bytes(point).ok()
    }
}

fn id_of(json: &Json) -> KeyId {
    KeyId(HEXLOWER.encode(&Sha256::digest(json.canonical())))
}

/// The content of a text that is one PEM of a public key and nothing else.
fn pem_content(pem: &str) -> Option<Vec<u8>> {
    let inside = pem.trim_end_matches('\n').strip_prefix(BEGIN)?;
    let inside = inside.strip_suffix(END)?.strip_prefix('\n')?;
    let base64: String = inside.strip_suffix('\n')?.split('\n').collect();
    BASE64.decode(base64.as_bytes()).ok()
}

/// Checks signatures: which schemes a client believes.
pub trait CheckSignature {
    /// Bytes that two keys have in common only if they are one key, when `key` made `signature`
    /// over `message`; else `None`.
    fn signer(&self, key: &Key, message: &[u8], signature: &[u8]) -> Option<Vec<u8>>;
}

/// Believes ECDSA on P-256 with SHA-256 in DER alone: what every terminal does.
#[derive(Debug, Clone, Copy, Default)]
pub struct P256;

impl CheckSignature for P256 {
    fn signer(&self, key: &Key, message: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
        let key = key.as_p256()?;
        let signature = Signature::from_der(signature).ok()?;
        key.verify(message, &signature).ok()?;
        Some(key.to_sec1_point(true).as_bytes().to_vec())
    }
}

/// DER of an ECDSA signature r ‖ s on P-256; `None` when r or s is out of range.
#[must_use]
pub fn der_of_raw_signature(raw: &[u8; 64]) -> Option<Vec<u8>> {
    let signature = Signature::from_slice(raw).ok()?;
    Some(signature.to_der().as_bytes().to_vec())
}
