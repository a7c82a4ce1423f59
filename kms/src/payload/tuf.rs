//! The `signed` part of TUF metadata (specification 1.0.34), read by `obol-trust` as every client
//! reads it, and held to the rules of this house. The text that comes in is ordinary JSON; what is
//! signed is its OLPC canonical form, built here.

use std::collections::{BTreeMap, BTreeSet};

use obol_kms_registry::{Class, PayloadType};
use obol_trust::json::{Json, NotStrictJson};
use obol_trust::tuf::{
    Delegations, FormError, Head, Key, Meta, RoleKeys, Root, Scope, Snapshot, TOP_LEVEL_ROLES,
    Targets, Timestamp,
};

/// Largest metadata, in bytes.
const METADATA_MAX: usize = 1024 * 1024;
/// Version of the specification that these rules are from.
const SPECIFICATION: &str = "1.0.";
/// Fewest signatures that make a root.
const ROOT_THRESHOLD_MIN: u32 = 2;
/// What the online key may list; the offline key lists everything else.
const ONLINE_FOLDERS: [&str; 2] = ["denylist/", "fares/"];

/// Metadata of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufMetadata {
    payload: PayloadType,
    canonical: Vec<u8>,
    version: u32,
    /// For targets: what they list, and whether they delegate.
    paths: Vec<String>,
    delegates: bool,
}

/// Why it is not TUF metadata of its role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TufRefusal {
    /// Not JSON, or ambiguous.
    #[error("the metadata is no strict JSON: {0}")]
    Json(#[from] NotStrictJson),
    /// A member is missing or of the wrong kind.
    #[error("the metadata does not have its role's form: {0}")]
    Form(#[from] FormError),
    /// Members that a client keeps but does not read: nobody here has checked them.
    #[error("the metadata has members that its role does not have, or dates beyond the year 2106")]
    UnknownMembers,
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
    /// A key is no P-256 key.
    #[error("key {0} is no P-256 key of type ecdsa and nothing else")]
    Key(String),
}

impl TufMetadata {
    pub(super) fn parse(payload: PayloadType, bytes: &[u8]) -> Result<TufMetadata, TufRefusal> {
        let json = Json::parse(bytes, METADATA_MAX)?;
        let wanted = match payload {
            PayloadType::TufRoot => "root",
            PayloadType::TufSnapshot => "snapshot",
            PayloadType::TufTimestamp => "timestamp",
            _ => "targets",
        };
        if let Some(Json::Text(found)) = json.member("_type")
            && found != wanted
        {
            let found = found.clone();
            return Err(TufRefusal::Role { found, wanted });
        }
        let mut metadata = TufMetadata {
            payload,
            canonical: json.canonical(),
            version: 0,
            paths: Vec::new(),
            delegates: false,
        };
        let (head, again) = match payload {
            PayloadType::TufRoot => {
                let root = Root::read(&json)?;
                check_root(&root)?;
                (root.head.clone(), root.to_json())
            }
            PayloadType::TufSnapshot => {
                let snapshot = Snapshot::read(&json)?;
                check_snapshot(&snapshot)?;
                (snapshot.head.clone(), snapshot.to_json())
            }
            PayloadType::TufTimestamp => {
                let timestamp = Timestamp::read(&json)?;
                check_timestamp(&timestamp)?;
                (timestamp.head.clone(), timestamp.to_json())
            }
            _ => {
                let targets = Targets::read(&json)?;
                check_targets(&targets)?;
                metadata.delegates = targets.delegations.is_some();
                let (head, again) = (targets.head.clone(), targets.to_json());
                metadata.paths = targets.targets.into_keys().collect();
                (head, again)
            }
        };
        check_head(&head)?;
        if again != json {
            return Err(TufRefusal::UnknownMembers);
        }
        metadata.version = head.version;
        Ok(metadata)
    }

    /// Which of the four it is.
    pub fn payload_type(&self) -> PayloadType {
        self.payload
    }

    /// Its version.
    pub fn version(&self) -> u32 {
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

fn demand(holds: bool, rule: &'static str) -> Result<(), TufRefusal> {
    if holds {
        Ok(())
    } else {
        Err(TufRefusal::Rule(rule))
    }
}

fn check_head(head: &Head) -> Result<(), TufRefusal> {
    let ours = head.spec_version.starts_with(SPECIFICATION);
    demand(ours, "spec_version is not 1.0.x")
}

fn check_root(root: &Root) -> Result<(), TufRefusal> {
    demand(root.consistent_snapshot, "consistent_snapshot must be true")?;
    check_keys(&root.keys)?;
    for role in root.roles.values() {
        check_role(role, &root.keys)?;
    }
    let enough = root.role("root").threshold >= ROOT_THRESHOLD_MIN;
    demand(enough, "the root's threshold must be at least 2")
}

fn check_targets(targets: &Targets) -> Result<(), TufRefusal> {
    for (path, file) in &targets.targets {
        let plain = path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.is_ascii());
        let rule = "a target has a plain path, some length and a SHA-256 alone";
        let hashes = &file.hashes;
        let alone = hashes.sha256.is_some() && hashes.sha512.is_none();
        demand(plain && file.length > 0 && alone, rule)?;
    }
    let Some(Delegations { keys, roles }) = &targets.delegations else {
        return Ok(());
    };
    check_keys(keys)?;
    for role in roles {
        check_role(&role.keys, keys)?;
        let named = !TOP_LEVEL_ROLES.contains(&role.name.as_str());
        let paths = matches!(&role.scope, Scope::Paths(paths) if !paths.is_empty());
        let rule = "a delegated role has a name of its own and paths, and ends the search";
        demand(named && paths && role.terminating, rule)?;
    }
    Ok(())
}

fn check_snapshot(snapshot: &Snapshot) -> Result<(), TufRefusal> {
    let plain = |name: &String| !name.contains('/') && name.len() > ".json".len();
    let rule = "meta lists files NAME.json";
    demand(snapshot.meta.keys().all(plain), rule)?;
    snapshot.meta.values().try_for_each(check_meta)?;
    let listed = snapshot.meta.contains_key("targets.json");
    demand(listed, "a snapshot lists targets.json")
}

fn check_timestamp(timestamp: &Timestamp) -> Result<(), TufRefusal> {
    check_meta(&timestamp.snapshot)?;
    let dated = timestamp.issued.is_some();
    demand(
        dated,
        "a timestamp has x-obol-issued: terminals set their clocks by it",
    )
}

fn check_meta(meta: &Meta) -> Result<(), TufRefusal> {
    let hashes = meta.hashes.as_ref();
    let alone = hashes.is_none_or(|hashes| hashes.sha512.is_none());
    demand(alone, "files are named by their SHA-256 alone")
}

/// A key whose id is not its hash has been edited outside of every tool.
fn check_keys(keys: &BTreeMap<String, Key>) -> Result<(), TufRefusal> {
    let mut seen = BTreeSet::new();
    for (id, key) in keys {
        let bare = key.is_bare() && key.keytype() == "ecdsa" && key.id().0 == *id;
        let Some(point) = key.as_p256().filter(|_| bare) else {
            return Err(TufRefusal::Key(id.clone()));
        };
        let point = point.to_sec1_point(true).as_bytes().to_vec();
        demand(seen.insert(point), "one key is there under two ids")?;
    }
    Ok(())
}

/// A threshold counts keys, each once (CVE-2020-6174), and never more than there are.
fn check_role(role: &RoleKeys, keys: &BTreeMap<String, Key>) -> Result<(), TufRefusal> {
    let there = role.keyids.iter().all(|id| keys.contains_key(id));
    demand(there, "a role names a key that is not there")?;
    let met = usize::try_from(role.threshold).is_ok_and(|least| least <= role.keyids.len());
    demand(met, "a threshold is 1 to the number of the role's keys")
}
