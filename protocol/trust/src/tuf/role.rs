use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use obol_credential::UnixTime;

use super::date::{date_of, parse_date};
use super::form::{self, Form, take, wrong};
use super::key::Key;
use crate::json::Json;

/// Versions are counted in 31 bits, so that every client can.
pub const VERSION_MAX: u32 = 0x7fff_ffff;
const SPECIFICATION: &str = "1.0.34";
/// Keys that one role may name, and one piece of metadata may hold.
pub(super) const KEYS_MAX: usize = 256;

/// What all roles begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `spec_version`: 1.0.x, or 1.x of a repository that is not ours.
    pub spec_version: String,
    /// From 1.
    pub version: u32,
    /// The first second at which it is out of date.
    pub expires: UnixTime,
}

impl Head {
    /// A head of this specification.
    #[must_use]
    pub fn new(version: u32, expires: UnixTime) -> Head {
        let spec_version = SPECIFICATION.to_owned();
        Head {
            spec_version,
            version,
            expires,
        }
    }

    /// Whether it is out of date at `now`.
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        self.expires <= now
    }

    pub(super) fn read(json: &Json, role: &'static str) -> Form<Head> {
        if take(json, "_type", "a string", form::text)? != role {
            return wrong("_type", role);
        }
        let spec_version = take(json, "spec_version", "1.x or 1.x.y", |value| {
            form::text(value).filter(|text| is_specification(text))
        })?;
        Ok(Head {
            spec_version: spec_version.to_owned(),
            version: take(json, "version", "1 to 2^31 - 1", version)?,
            expires: take(json, "expires", "YYYY-MM-DDTHH:MM:SSZ", |value| {
                parse_date(form::text(value)?)
            })?,
        })
    }

    pub(super) fn write(&self, role: &str) -> [(&'static str, Json); 4] {
        [
            ("_type", Json::text(role)),
            ("spec_version", Json::text(&self.spec_version)),
            ("version", Json::Whole(self.version.into())),
            ("expires", Json::Text(date_of(self.expires))),
        ]
    }
}

pub(super) fn version(json: &Json) -> Option<u32> {
    let number = u32::try_from(form::count(json)?).ok()?;
    (1..=VERSION_MAX).contains(&number).then_some(number)
}

fn is_specification(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = text.split('.').collect();
    matches!(parts.len(), 2 | 3) && parts[0] == "1" && parts.iter().all(|part| number(part))
}

/// Who may sign for a role, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Names of keys, each once.
    pub keyids: Vec<String>,
    /// How many of them must have signed; at least 1.
    pub threshold: u32,
}

impl RoleKeys {
    pub(super) fn read(json: &Json) -> Form<RoleKeys> {
        let keyids = take(json, "keyids", "1 to 256 strings, each once", |value| {
            let keyids = form::texts(value)?;
            let distinct: BTreeSet<_> = keyids.iter().collect();
            let held = distinct.len() == keyids.len() && keyids.len() <= KEYS_MAX;
            held.then_some(keyids)
        })?;
        // A threshold of nothing would make anybody's metadata good (GHSA-fphv-w9fq-2525).
        let threshold = take(json, "threshold", "1 to 2^31 - 1", version)?;
        Ok(RoleKeys { keyids, threshold })
    }

    pub(super) fn members(&self) -> [(&'static str, Json); 2] {
        let keyids = self.keyids.iter().map(|id| Json::text(id)).collect();
        [
            ("keyids", Json::List(keyids)),
            ("threshold", Json::Whole(self.threshold.into())),
        ]
    }

    /// Whether a key of this role is missing from `after`: then what only it vouched for is to be
    /// forgotten.
    pub(super) fn lost_a_key_in(&self, after: &RoleKeys) -> bool {
        self.keyids.iter().any(|id| !after.keyids.contains(id))
    }
}

/// Keys by name, each under the name that its content gives it.
pub(super) fn read_keys(json: &Json) -> Form<BTreeMap<String, Key>> {
    let members = take(json, "keys", "an object of at most 256 keys", |value| {
        form::object(value).filter(|members| members.len() <= KEYS_MAX)
    })?;
    let mut keys = BTreeMap::new();
    for (id, value) in members {
        let key = Key::read(value)?;
        if !key.is_named(id) {
            return wrong(id, "the SHA-256 of its key");
        }
        keys.insert(id.clone(), key);
    }
    Ok(keys)
}

pub(super) fn write_keys(keys: &BTreeMap<String, Key>) -> Json {
    let members = keys.iter().map(|(id, key)| (id.clone(), key.to_json()));
    Json::Object(members.collect())
}
