//! Leaves and keys as they are printed.

use std::path::Path;

use obol_console::{Outcome, read_limited};
use obol_kms_registry::{ChangeError, Class, Registry, SpkiId, State};
use obol_log::{Decision, Leaf, LogKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey};
use serde::Serialize;

use super::arguments::Key;
use crate::failure::Failure;
use crate::failure::audit::NotAPublicKey;
use crate::failure::registry::NotOneAuditKey;
use crate::output::print_json;

/// Longest PEM file of a public key, bytes.
const PEM_MAX: usize = 4096;

#[derive(Serialize)]
pub(super) struct ShownLeaf {
    time: u32,
    actor: String,
    operation: String,
    key: String,
    class: String,
    payload_type: String,
    payload_hash: String,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_hash: Option<String>,
    reason: String,
}

impl ShownLeaf {
    /// `None` where the entry is no leaf of the format this version knows.
    pub(super) fn of(entry: &[u8]) -> Option<ShownLeaf> {
        let leaf = Leaf::decode(entry).ok()?;
        let (decision, of) = match leaf.decision {
            Decision::Approved => ("approved", None),
            Decision::Denied => ("denied", None),
            Decision::Failed { of } => ("failed", Some(of)),
        };
        Some(ShownLeaf {
            time: leaf.time.0,
            actor: leaf.actor.to_owned(),
            operation: leaf.operation.to_owned(),
            key: hex(&leaf.key),
            class: leaf.class.to_owned(),
            payload_type: leaf.payload_type.to_owned(),
            payload_hash: hex(&leaf.payload_hash),
            decision,
            of,
            policy_hash: leaf.policy_hash.as_ref().map(hex),
            reason: leaf.reason.to_owned(),
        })
    }
}

#[derive(Serialize)]
pub(super) struct ShownKey {
    pub(super) name: String,
    pub(super) key_id: String,
    pub(super) key: String,
}

impl ShownKey {
    pub(super) fn print(&self, json: Print) -> Result<Outcome, Failure> {
        match json {
            Print::Json => print_json(self),
            Print::Text => {
                println!("{}", self.key);
                Ok(Outcome::Done)
            }
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy)]
pub(super) enum Print {
    Json,
    Text,
}

impl From<bool> for Print {
    fn from(json: bool) -> Print {
        if json { Print::Json } else { Print::Text }
    }
}

pub(super) fn key(arguments: &Key) -> Result<Outcome, Failure> {
    let (path, spki) = match (&arguments.of.public, &arguments.of.registry) {
        (Some(path), _) => (path, of_file(path)?),
        (None, Some(path)) => (path, of_registry(path, arguments.spki)?),
        (None, None) => unreachable!("the command line demands one of them"),
    };
    let key =
        LogKey::from_spki_der(&arguments.name, &spki).ok_or_else(|| NotAPublicKey(path.clone()))?;
    let shown = ShownKey {
        name: key.name().to_owned(),
        key_id: key.key_id().to_string(),
        key: key.to_vkey(),
    };
    shown.print(arguments.json.into())
}

fn of_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = || NotAPublicKey(path.to_path_buf());
    let pem = String::from_utf8(read_limited(path, PEM_MAX)?).map_err(|_| wrong())?;
    let public = p256::PublicKey::from_public_key_pem(&pem).map_err(|_| wrong())?;
    let spki = public.to_public_key_der().map_err(|_| wrong())?;
    Ok(spki.into_vec())
}

fn of_registry(path: &Path, wanted: Option<SpkiId>) -> Result<Vec<u8>, Failure> {
    let registry = Registry::open(path)?;
    if let Some(spki) = wanted {
        let key = registry.key(spki)?.ok_or(ChangeError::Unknown(spki))?;
        return Ok(key.spki_der);
    }
    let keys = registry.list()?.into_iter();
    let mut active: Vec<_> = keys
        .filter(|key| key.class == Class::Audit && key.state == State::Active)
        .collect();
    match (active.pop(), active.len()) {
        (Some(only), 0) => Ok(only.spki_der),
        (last, others) => Err(NotOneAuditKey(others + usize::from(last.is_some())).into()),
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    obol_log::Hash(*bytes).to_string()
}
