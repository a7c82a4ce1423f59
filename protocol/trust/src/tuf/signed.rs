use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::form::{self, Form, FormError, take};
use super::key::{CheckSignature, Key};
use super::role::RoleKeys;
use crate::json::{Json, NotStrictJson};

/// Signatures that one file may have.
const SIGNATURES_MAX: usize = 256;

/// A signature and the name of the key that is said to have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name of the key.
    pub keyid: String,
    /// For P-256: DER.
    pub bytes: Vec<u8>,
}

/// Metadata as it was received: its signed part is had only for the signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    signed: Json,
    signatures: Vec<Signature>,
}

/// Not signed metadata at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// Not JSON, ambiguous, too long or too deep.
    #[error("no strict JSON: {0}")]
    Json(#[from] NotStrictJson),
    /// Not an object with a signed part and signatures, each key's once.
    #[error("{0}")]
    Form(#[from] FormError),
}

/// Too few keys of the role have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{good} of the role's keys have signed, and it takes {needed}")]
pub struct ThresholdNotMet {
    /// Different keys whose signature is good.
    pub good: u32,
    /// How many it takes.
    pub needed: u32,
}

impl Signed {
    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`SignedError`].
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Signed, SignedError> {
        let json = Json::parse(bytes, limit)?;
        let signed = take(&json, "signed", "an object", |value| {
            form::object(value).map(|_| value.clone())
        })?;
        let signatures = take(&json, "signatures", "at most 256 signatures", |value| {
            form::list(value).filter(|list| list.len() <= SIGNATURES_MAX)
        })?;
        let signatures = signatures.iter().map(Signature::read);
        let signatures = signatures.collect::<Form<Vec<_>>>()?;
        let keyids: BTreeSet<_> = signatures.iter().map(|one| &one.keyid).collect();
        if keyids.len() != signatures.len() {
            let (member, wanted) = ("signatures".to_owned(), "there once for each key");
            return Err(FormError { member, wanted }.into());
        }
        Ok(Signed { signed, signatures })
    }

    /// The signed part, when enough of the role's keys have signed its canonical form. Keys are
    /// counted, not signatures nor names: one key under two names counts once (CVE-2020-6174).
    ///
    /// # Errors
    /// [`ThresholdNotMet`].
    pub fn verified_by(
        &self,
        keys: &BTreeMap<String, Key>,
        role: &RoleKeys,
        check: &impl CheckSignature,
    ) -> Result<&Json, ThresholdNotMet> {
        let message = self.signed.canonical();
        let signers: BTreeSet<_> = self
            .signatures
            .iter()
            .filter(|one| role.keyids.contains(&one.keyid))
            .filter_map(|one| check.signer(keys.get(&one.keyid)?, &message, &one.bytes))
            .collect();
        let (good, needed) = (u32::try_from(signers.len()).unwrap_or(0), role.threshold);
        if good < needed {
            return Err(ThresholdNotMet { good, needed });
        }
        Ok(&self.signed)
    }

    /// The signed part, whoever signed it.
    #[must_use]
    pub fn unverified(&self) -> &Json {
        &self.signed
    }

    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// A file of a signed part and its signatures.
    #[must_use]
    pub fn assemble(signed: Json, signatures: &[Signature]) -> Vec<u8> {
        let signatures = signatures.iter().map(Signature::to_json).collect();
        Json::object([("signatures", Json::List(signatures)), ("signed", signed)]).to_text()
    }
}

impl Signature {
    /// Bytes that are no hex stay a signature that is never good: tools write empty ones for keys
    /// that have yet to sign.
    fn read(json: &Json) -> Form<Signature> {
        let text = |name| take(json, name, "a string", form::text);
        let (keyid, sig) = (text("keyid")?.to_owned(), text("sig")?);
        let decoded = HEXLOWER_PERMISSIVE.decode(sig.as_bytes());
        Ok(Signature {
            keyid,
            bytes: decoded.into_iter().flatten().collect(),
        })
    }

    fn to_json(&self) -> Json {
        Json::object([
            ("keyid", Json::text(&self.keyid)),
            ("sig", Json::Text(HEXLOWER.encode(&self.bytes))),
        ])
    }
}
