//! The `signed` part of TUF metadata (specification 1.0.34), read strictly and signed in OLPC
//! canonical form. The text that comes in is ordinary JSON; what is signed is built here.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use obol_kms_registry::{Class, PayloadType};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::macros::format_description;

use crate::payload::json::{Json, NotStrictJson};
use crate::public_key::{Curve, PublicKey};
use crate::x509::one_pem_block;

/// Largest metadata, in bytes.
const METADATA_MAX: usize = 1024 * 1024;
/// Version of the specification that these rules are from.
const SPECIFICATION: &str = "1.0.";
/// Versions are counted in 31 bits, so that every client can.
const VERSION_MAX: u64 = 0x7fff_ffff;
/// Fewest signatures that make a root.
const ROOT_THRESHOLD_MIN: usize = 2;
const TOP_LEVEL_ROLES: [&str; 4] = ["root", "snapshot", "targets", "timestamp"];
/// What the online key may list; the offline key lists everything else.
const ONLINE_FOLDERS: [&str; 2] = ["denylist/", "fares/"];

/// Metadata of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufMetadata {
    payload: PayloadType,
    canonical: Vec<u8>,
    version: u64,
    /// For targets: what they list, and whether they delegate.
    paths: Vec<String>,
    delegates: bool,
}

/// Why it is not TUF metadata of its role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TufRefusal {
    /// Longer than any metadata.
    #[error("metadata of {0} bytes, more than {METADATA_MAX}")]
    TooLong(usize),
    /// Not JSON, or ambiguous.
    #[error("the metadata is no strict JSON: {0}")]
    Json(#[from] NotStrictJson),
    /// Members missing, unknown, or of the wrong kind.
    #[error("the metadata does not have its role's form: {0}")]
    Form(String),
    /// Metadata of another role.
    #[error("it is metadata of role {found:?}, asked for was {wanted:?}")]
    Role {
        /// `_type` as found.
        found: String,
        /// `_type` asked for.
        wanted: &'static str,
    },
    /// A rule of the specification or of this house.
    #[error("{0}")]
    Rule(&'static str),
    /// A key is not what its id says, or no P-256 key.
    #[error("key {0} is no P-256 key with that id")]
    Key(String),
}

#[derive(Deserialize)]
struct Heading {
    #[serde(rename = "_type")]
    role: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(rename = "_type")]
    _role: String,
    spec_version: String,
    version: u64,
    expires: String,
    consistent_snapshot: bool,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    public: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    keyids: Vec<String>,
    threshold: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets {
    #[serde(rename = "_type")]
    _role: String,
    spec_version: String,
    version: u64,
    expires: String,
    targets: BTreeMap<String, File>,
    delegations: Option<Delegations>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    length: u64,
    hashes: Hashes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashes {
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delegations {
    keys: BTreeMap<String, Key>,
    roles: Vec<DelegatedRole>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelegatedRole {
    name: String,
    keyids: Vec<String>,
    threshold: usize,
    terminating: bool,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    #[serde(rename = "_type")]
    _role: String,
    spec_version: String,
    version: u64,
    expires: String,
    meta: BTreeMap<String, Meta>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timestamp {
    #[serde(rename = "_type")]
    _role: String,
    spec_version: String,
    version: u64,
    expires: String,
    meta: BTreeMap<String, Meta>,
    /// Seconds since 1970: the clock that terminals trust.
    #[serde(rename = "x-obol-issued")]
    _issued: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u64,
    #[serde(rename = "length")]
    _length: Option<u64>,
    hashes: Option<Hashes>,
}

impl TufMetadata {
    pub(super) fn parse(payload: PayloadType, bytes: &[u8]) -> Result<TufMetadata, TufRefusal> {
        if bytes.len() > METADATA_MAX {
            return Err(TufRefusal::TooLong(bytes.len()));
        }
        let json = Json::parse(bytes)?;
        let wanted = match payload {
            PayloadType::TufRoot => "root",
            PayloadType::TufSnapshot => "snapshot",
            PayloadType::TufTimestamp => "timestamp",
            _ => "targets",
        };
        let Heading { role: found } = form(bytes)?;
        if found != wanted {
            return Err(TufRefusal::Role { found, wanted });
        }
        let mut metadata = TufMetadata {
            payload,
            canonical: json.canonical(),
            version: 0,
            paths: Vec::new(),
            delegates: false,
        };
        metadata.version = match payload {
            PayloadType::TufRoot => form::<Root>(bytes)?.check(&json)?,
            PayloadType::TufSnapshot => form::<Snapshot>(bytes)?.check()?,
            PayloadType::TufTimestamp => form::<Timestamp>(bytes)?.check()?,
            _ => {
                let targets: Targets = form(bytes)?;
                let version = targets.check(&json)?;
                metadata.delegates = targets.delegations.is_some();
                metadata.paths = targets.targets.into_keys().collect();
                version
            }
        };
        Ok(metadata)
    }

    /// Which of the four it is.
    pub fn payload_type(&self) -> PayloadType {
        self.payload
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// OLPC canonical JSON: what is signed.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The online key lists status lists and fare packs and delegates nothing; the offline key lists
    /// everything else.
    pub(super) fn permitted_for(&self, class: Class) -> Result<(), String> {
        let is_online =
            |path: &String| ONLINE_FOLDERS.iter().any(|folder| path.starts_with(folder));
        if class == Class::TufOnline && self.delegates {
            return Err("targets that delegate".to_owned());
        }
        let stranger = match class {
            Class::TufOnline => self.paths.iter().find(|path| !is_online(path)),
            _ => self.paths.iter().find(|path| is_online(path)),
        };
        match stranger {
            None => Ok(()),
            Some(path) => Err(format!("target {path:?}")),
        }
    }
}

impl Root {
    fn check(&self, json: &Json) -> Result<u64, TufRefusal> {
        heading(&self.spec_version, self.version, &self.expires)?;
        let roles: Vec<&str> = self.roles.keys().map(String::as_str).collect();
        if roles != TOP_LEVEL_ROLES {
            return Err(TufRefusal::Rule(
                "a root has the roles root, snapshot, targets, timestamp",
            ));
        }
        if !self.consistent_snapshot {
            return Err(TufRefusal::Rule("consistent_snapshot must be true"));
        }
        check_keys(&self.keys, member(json, &["keys"]))?;
        for role in self.roles.values() {
            check_threshold(&role.keyids, role.threshold, &self.keys)?;
        }
        if self.roles["root"].threshold < ROOT_THRESHOLD_MIN {
            return Err(TufRefusal::Rule("the root's threshold must be at least 2"));
        }
        Ok(self.version)
    }
}

impl Targets {
    fn check(&self, json: &Json) -> Result<u64, TufRefusal> {
        heading(&self.spec_version, self.version, &self.expires)?;
        for (path, File { length, hashes }) in &self.targets {
            let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !plain || *length == 0 {
                return Err(TufRefusal::Rule(
                    "a target has a plain path and some length",
                ));
            }
            check_hash(hashes)?;
        }
        if let Some(Delegations { keys, roles }) = &self.delegations {
            check_keys(keys, member(json, &["delegations", "keys"]))?;
            for role in roles {
                check_threshold(&role.keyids, role.threshold, keys)?;
                let named = !role.name.is_empty() && !TOP_LEVEL_ROLES.contains(&role.name.as_str());
                if !named || role.paths.is_empty() || !role.terminating {
                    return Err(TufRefusal::Rule(
                        "a delegated role has a name of its own and paths, and ends the search",
                    ));
                }
            }
        }
        Ok(self.version)
    }
}

impl Snapshot {
    fn check(&self) -> Result<u64, TufRefusal> {
        heading(&self.spec_version, self.version, &self.expires)?;
        check_meta(&self.meta)?;
        if !self.meta.contains_key("targets.json") {
            return Err(TufRefusal::Rule("a snapshot lists targets.json"));
        }
        Ok(self.version)
    }
}

impl Timestamp {
    fn check(&self) -> Result<u64, TufRefusal> {
        heading(&self.spec_version, self.version, &self.expires)?;
        check_meta(&self.meta)?;
        if self.meta.len() != 1 || !self.meta.contains_key("snapshot.json") {
            return Err(TufRefusal::Rule("a timestamp lists snapshot.json alone"));
        }
        Ok(self.version)
    }
}

fn form<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, TufRefusal> {
    serde_json::from_slice(bytes).map_err(|error| TufRefusal::Form(error.to_string()))
}

fn heading(spec_version: &str, version: u64, expires: &str) -> Result<(), TufRefusal> {
    let date = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    if !spec_version.starts_with(SPECIFICATION) {
        return Err(TufRefusal::Rule("spec_version is not 1.0.x"));
    }
    if !(1..=VERSION_MAX).contains(&version) {
        return Err(TufRefusal::Rule("version is not 1 to 2^31 - 1"));
    }
    if time::PrimitiveDateTime::parse(expires, &date).is_err() {
        return Err(TufRefusal::Rule("expires is not YYYY-MM-DDTHH:MM:SSZ"));
    }
    Ok(())
}

/// A key whose id is not its hash has been edited outside of every tool.
fn check_keys(keys: &BTreeMap<String, Key>, json: Option<&Json>) -> Result<(), TufRefusal> {
    let Some(Json::Object(members)) = json else {
        return Err(TufRefusal::Rule("keys is no object"));
    };
    let mut seen = BTreeSet::new();
    for (id, key) in keys {
        let refused = || TufRefusal::Key(id.clone());
        let canonical = members.get(id).ok_or_else(refused)?.canonical();
        let named = HEXLOWER.encode(&Sha256::digest(canonical)) == *id;
        let kind = key.keytype == "ecdsa" && key.scheme == "ecdsa-sha2-nistp256";
        let point = one_pem_block(key.keyval.public.as_bytes(), "PUBLIC KEY")
            .and_then(|spki| PublicKey::from_spki_der(&spki))
            .filter(|public| public.curve() == Curve::P256);
        let Some(point) = point.filter(|_| named && kind) else {
            return Err(refused());
        };
        if !seen.insert(point.as_sec1().to_vec()) {
            return Err(TufRefusal::Rule("one key is there under two ids"));
        }
    }
    Ok(())
}

/// A threshold counts keys, each once (CVE-2020-6174), and is never zero.
fn check_threshold(
    keyids: &[String],
    threshold: usize,
    keys: &BTreeMap<String, Key>,
) -> Result<(), TufRefusal> {
    let distinct: BTreeSet<_> = keyids.iter().collect();
    if distinct.len() != keyids.len() || !keyids.iter().all(|id| keys.contains_key(id)) {
        return Err(TufRefusal::Rule(
            "a role names a key twice, or one that is not there",
        ));
    }
    if threshold == 0 || threshold > distinct.len() {
        return Err(TufRefusal::Rule(
            "a threshold is 1 to the number of the role's keys",
        ));
    }
    Ok(())
}

fn check_meta(meta: &BTreeMap<String, Meta>) -> Result<(), TufRefusal> {
    for (
        name,
        Meta {
            version, hashes, ..
        },
    ) in meta
    {
        let plain = name
            .strip_suffix(".json")
            .is_some_and(|stem| !stem.is_empty() && !stem.contains('/'));
        if !plain || !(1..=VERSION_MAX).contains(version) {
            return Err(TufRefusal::Rule(
                "meta lists files NAME.json with versions from 1",
            ));
        }
        hashes.as_ref().map_or(Ok(()), check_hash)?;
    }
    Ok(())
}

fn check_hash(hashes: &Hashes) -> Result<(), TufRefusal> {
    match HEXLOWER.decode(hashes.sha256.as_bytes()) {
        Ok(hash) if hash.len() == 32 => Ok(()),
        _ => Err(TufRefusal::Rule(
            "sha256 is not 64 hexadecimal digits, lower case",
        )),
    }
}

fn member<'a>(json: &'a Json, path: &[&str]) -> Option<&'a Json> {
    path.iter().try_fold(json, |json, name| match json {
        Json::Object(members) => members.get(*name),
        _ => None,
    })
}
