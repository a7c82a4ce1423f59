use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256, Sha512};

use super::form::{self, Form, FormError, take, wrong};
use super::key::Key;
use super::path::{is_hash_prefix, matches_pattern};
use super::role::{Head, RoleKeys, read_keys, write_keys};
use super::root::TOP_LEVEL_ROLES;
use crate::json::Json;

/// Files that one role lists.
const TARGETS_MAX: usize = 8192;
/// Roles that one role delegates to.
const ROLES_MAX: usize = 256;

/// Hashes of a file; at least one that is known here, and each that is known has to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
}

impl Hashes {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Hashes {
        Hashes {
            sha256: Some(Sha256::digest(bytes).into()),
            sha512: None,
        }
    }

    /// Whether these are the hashes of `bytes`.
    #[must_use]
    pub fn fit(&self, bytes: &[u8]) -> bool {
        let sha256 = self
            .sha256
            .is_none_or(|hash| Sha256::digest(bytes)[..] == hash);
        let sha512 = self
            .sha512
            .is_none_or(|hash| Sha512::digest(bytes)[..] == hash);
        sha256 && sha512
    }

    /// The hash in a file's name, lower-case hex.
    #[must_use]
    pub fn prefix(&self) -> String {
        match (&self.sha256, &self.sha512) {
            (Some(hash), _) => HEXLOWER.encode(hash),
            (None, Some(hash)) => HEXLOWER.encode(hash),
            (None, None) => String::new(),
        }
    }

    pub(super) fn read(json: &Json) -> Form<Hashes> {
        let hashes = Hashes {
            sha256: hash(json, "sha256")?,
            sha512: hash(json, "sha512")?,
        };
        if hashes.sha256.is_none() && hashes.sha512.is_none() {
            return wrong("hashes", "an object with sha256 or sha512");
        }
        Ok(hashes)
    }

    pub(super) fn to_json(&self) -> Json {
        let sha256 = self.sha256.map(|hash| HEXLOWER.encode(&hash));
        let sha512 = self.sha512.map(|hash| HEXLOWER.encode(&hash));
        let named = [("sha256", sha256), ("sha512", sha512)];
        let there = named
            .into_iter()
            .filter_map(|(name, hash)| Some((name.to_owned(), Json::Text(hash?))));
        Json::Object(there.collect())
    }
}

fn hash<const N: usize>(json: &Json, name: &'static str) -> Form<Option<[u8; N]>> {
    form::take_if_there(json, name, "hexadecimal digits, lower case", |value| {
        let bytes = HEXLOWER.decode(form::text(value)?.as_bytes()).ok()?;
        bytes.try_into().ok()
    })
}

/// A file that a role vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length: u64,
    /// Its hashes.
    pub hashes: Hashes,
}

impl TargetFile {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> TargetFile {
        TargetFile {
            length: bytes.len() as u64,
            hashes: Hashes::of(bytes),
        }
    }

    /// Whether `bytes` are this file.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        self.length == bytes.len() as u64 && self.hashes.fit(bytes)
    }

    fn read(json: &Json) -> Form<TargetFile> {
        let hashes = take(json, "hashes", "an object", |value| {
            form::object(value).map(|_| value)
        })?;
        Ok(TargetFile {
            length: take(json, "length", "a length", form::count)?,
            hashes: Hashes::read(hashes)?,
        })
    }

    fn to_json(&self) -> Json {
        let length = i64::try_from(self.length).unwrap_or(i64::MAX);
        Json::object([
            ("length", Json::Whole(length)),
            ("hashes", self.hashes.to_json()),
        ])
    }
}

/// A role that another one trusts with some paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Its name, none of the top-level ones.
    pub name: String,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// Whether nobody behind it is asked for a path that it could have listed.
    pub terminating: bool,
    /// Patterns of paths, or prefixes of their SHA-256.
    pub scope: Scope,
}

/// Which paths a delegated role may list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Patterns with `*` and `?`, neither of which stands for `/`.
    Paths(Vec<String>),
    /// Prefixes of the SHA-256 of the path, hex.
    HashPrefixes(Vec<String>),
}

impl DelegatedRole {
    /// Whether it may list `path`.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        match &self.scope {
            Scope::Paths(patterns) => patterns.iter().any(|of| matches_pattern(of, path)),
            Scope::HashPrefixes(prefixes) => prefixes.iter().any(|of| is_hash_prefix(of, path)),
        }
    }

    fn read(json: &Json) -> Form<DelegatedRole> {
        let name = take(json, "name", "a name that no top-level role has", |value| {
            form::text(value).filter(|name| !name.is_empty() && !TOP_LEVEL_ROLES.contains(name))
        })?;
        let paths = form::take_if_there(json, "paths", "strings", form::texts)?;
        let wanted = "strings, if there are no paths";
        let prefixes = form::take_if_there(json, "path_hash_prefixes", wanted, form::texts)?;
        let scope = match (paths, prefixes) {
            (Some(paths), None) => Scope::Paths(paths),
            (None, Some(prefixes)) => Scope::HashPrefixes(prefixes),
            _ => return wrong("paths", "there without path_hash_prefixes, or these alone"),
        };
        Ok(DelegatedRole {
            name: name.to_owned(),
            keys: RoleKeys::read(json)?,
            terminating: take(json, "terminating", "a flag", form::flag)?,
            scope,
        })
    }

    fn to_json(&self) -> Json {
        let [keyids, threshold] = self.keys.members();
        let scope = match &self.scope {
            Scope::Paths(paths) => ("paths", paths),
            Scope::HashPrefixes(prefixes) => ("path_hash_prefixes", prefixes),
        };
        let listed = scope.1.iter().map(|text| Json::text(text)).collect();
        Json::object([
            ("name", Json::text(&self.name)),
            keyids,
            threshold,
            ("terminating", Json::Flag(self.terminating)),
            (scope.0, Json::List(listed)),
        ])
    }
}

/// Whom a targets role trusts with some of its paths, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    /// Keys by name.
    pub keys: BTreeMap<String, Key>,
    /// The roles, each name once.
    pub roles: Vec<DelegatedRole>,
}

impl Delegations {
    /// The role `name`.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&DelegatedRole> {
        self.roles.iter().find(|role| role.name == name)
    }

    fn read(json: &Json) -> Form<Delegations> {
        let listed = take(json, "roles", "an array of at most 256 roles", |value| {
            form::list(value).filter(|roles| roles.len() <= ROLES_MAX)
        })?;
        let mut roles: Vec<DelegatedRole> = Vec::new();
        for value in listed {
            let role = DelegatedRole::read(value)?;
            if roles.iter().any(|before| before.name == role.name) {
                return wrong(&role.name, "there once");
            }
            roles.push(role);
        }
        let keys = read_keys(json)?;
        Ok(Delegations { keys, roles })
    }

    fn to_json(&self) -> Json {
        let roles = self.roles.iter().map(DelegatedRole::to_json).collect();
        Json::object([
            ("keys", write_keys(&self.keys)),
            ("roles", Json::List(roles)),
        ])
    }
}

/// `targets` and every role that it delegates to: which files are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// What all roles begin with.
    pub head: Head,
    /// Files by path.
    pub targets: BTreeMap<String, TargetFile>,
    /// Whom it trusts further.
    pub delegations: Option<Delegations>,
}

impl Targets {
    /// Reads the `signed` part.
    ///
    /// # Errors
    /// [`FormError`] names the member.
    pub fn read(json: &Json) -> Form<Targets> {
        let head = Head::read(json, "targets")?;
        let members = take(
            json,
            "targets",
            "an object of at most 8192 files",
            |value| form::object(value).filter(|members| members.len() <= TARGETS_MAX),
        )?;
        let mut targets = BTreeMap::new();
        for (path, value) in members {
            let file = TargetFile::read(value).map_err(|FormError { member, wanted }| {
                let member = [path, " ", &member].concat().to_string();
                FormError { member, wanted }
            })?;
            targets.insert(path.clone(), file);
        }
        let delegations = match json.member("delegations") {
            Some(value) => Some(Delegations::read(value)?),
            None => None,
        };
        Ok(Targets {
            head,
            targets,
            delegations,
        })
    }

    /// The `signed` part.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let file = |(path, file): (&String, &TargetFile)| (path.clone(), file.to_json());
        let [kind, spec, version, expires] = self.head.write("targets");
        let targets = Json::Object(self.targets.iter().map(file).collect());
        let mut json = Json::object([kind, spec, version, expires, ("targets", targets)]);
        if let (Json::Object(members), Some(delegations)) = (&mut json, &self.delegations) {
            members.insert("delegations".into(), delegations.to_json());
        }
        json
    }
}
