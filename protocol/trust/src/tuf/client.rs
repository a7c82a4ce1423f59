//! The client's workflow (specification section 5), without any input or output.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use obol_credential::UnixTime;

use super::form::Form;
use super::key::{CheckSignature, Key};
use super::listing::{Meta, Snapshot, Timestamp};
use super::path::quoted;
use super::role::{Head, RoleKeys, VERSION_MAX};
use super::root::Root;
use super::search::Search;
use super::signed::{Signed, SignedError, ThresholdNotMet};
use super::targets::Targets;
use crate::json::Json;

const TARGETS: &str = "targets";

/// How much a client takes from a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Roots that follow one another in one update.
    pub rotations: u32,
    /// Bytes of a root.
    pub root: usize,
    /// Bytes of a timestamp.
    pub timestamp: usize,
    /// Bytes of a snapshot whose length nobody has said.
    pub snapshot: usize,
    /// Bytes of targets whose length nobody has said.
    pub targets: usize,
    /// Roles asked for one target.
    pub delegations: usize,
}

impl Limits {
    /// Those of the reference client, python-tuf.
    pub const REFERENCE: Limits = Limits {
        rotations: 256,
        root: 512_000,
        timestamp: 16_384,
        snapshot: 2_000_000,
        targets: 5_000_000,
        delegations: 32,
    };
    /// Those of a terminal, whose repository has one level of delegation.
    pub const TERMINAL: Limits = Limits {
        rotations: 64,
        root: 64 * 1024,
        timestamp: 8 * 1024,
        snapshot: 64 * 1024,
        targets: 256 * 1024,
        delegations: 4,
    };
}

/// What the client has on its medium: bytes as they came. They are verified again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The root that is trusted.
    pub root: Vec<u8>,
    /// All other roles by name.
    pub roles: BTreeMap<String, Vec<u8>>,
}

/// A file that the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Its name below the metadata's base URL, already quoted.
    pub name: String,
    /// A host that gets more bytes stops.
    pub max_len: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched<'a> {
    /// The file.
    Bytes(&'a [u8]),
    /// The repository says that there is no such file.
    Absent,
}

/// What is to be changed on the medium, durably and in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Replaces a role's bytes, whole or not at all.
    Store {
        /// The role.
        role: String,
        /// Its file.
        bytes: Vec<u8>,
    },
    /// Removes a role's bytes.
    Forget {
        /// The role.
        role: String,
    },
}

/// Why an update ended. What was accepted before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More bytes than were asked for.
    #[error("{file} has more than {limit} bytes")]
    TooLong {
        /// The file.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// The repository lacks it.
    #[error("{file} is not there")]
    Absent {
        /// The file.
        file: String,
    },
    /// No metadata of its role.
    #[error("{file} is malformed: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Not enough signatures.
    #[error("{file} is not signed: {threshold}")]
    Signatures {
        /// The file.
        file: String,
        /// How many there are.
        threshold: ThresholdNotMet,
    },
    /// Out of date.
    #[error("{file} expired at {expires}, and it is {now}")]
    Expired {
        /// The file.
        file: String,
        /// Its end.
        expires: UnixTime,
        /// The time that was given.
        now: UnixTime,
    },
    /// An earlier version than one that was accepted.
    #[error("{file} has version {found}, and {trusted} was there before")]
    Rollback {
        /// The file.
        file: String,
        /// What came.
        found: u32,
        /// What was accepted before.
        trusted: u32,
    },
    /// Another version than was announced.
    #[error("{file} has version {found}, announced was {wanted}")]
    Version {
        /// The file.
        file: String,
        /// What came.
        found: u32,
        /// What was announced.
        wanted: u32,
    },
    /// Another length or hash than was announced.
    #[error("{file} is not what was announced")]
    Mismatch {
        /// The file.
        file: String,
    },
    /// A snapshot without a file that an earlier one had.
    #[error("{file} does not list {missing} any more")]
    Dropped {
        /// The snapshot.
        file: String,
        /// What it lacks.
        missing: String,
    },
    /// Nobody vouches for that role.
    #[error("no role {role} is delegated and listed")]
    NotDelegated {
        /// The role.
        role: String,
    },
    /// `supply` without anything that was wanted.
    #[error("nothing was asked for")]
    NothingAsked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Root,
    Timestamp,
    Snapshot,
    /// One targets role, and who delegates to it.
    Role {
        name: String,
        delegator: Option<String>,
    },
    Idle,
}

/// One update of what a client trusts. The host asks [`Client::wanted`], fetches, and hands over
/// with [`Client::supply`] until nothing is wanted.
#[derive(Debug)]
pub struct Client<C> {
    pub(super) check: C,
    limits: Limits,
    now: UnixTime,
    stored: BTreeMap<String, Vec<u8>>,
    root: Root,
    rotations: u32,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    pub(super) targets: BTreeMap<String, Targets>,
    stage: Stage,
    pub(super) search: Option<Search>,
}

type Changes = Result<Vec<Change>, Refused>;

impl<C: CheckSignature> Client<C> {
    /// Begins an update from what is stored; `now` holds for all of it (specification 5.1).
    ///
    /// # Errors
    /// [`Refused`] when the stored root is none, or not signed by its own keys.
    pub fn start(
        stored: Stored,
        now: UnixTime,
        limits: Limits,
        check: C,
    ) -> Result<Client<C>, Refused> {
        let file = "root.json";
        let signed = parse(file, &stored.root, limits.root)?;
        let root = read(file, Root::read(signed.unverified()))?;
        verify(file, &signed, &root.keys, root.role("root"), &check)?;
        Ok(Client {
            check,
            limits,
            now,
            stored: stored.roles,
            root,
            rotations: 0,
            timestamp: None,
            snapshot: None,
            targets: BTreeMap::new(),
            stage: Stage::Root,
            search: None,
        })
    }

    /// The next file to fetch; `None` when nothing is left to do.
    #[must_use]
    pub fn wanted(&self) -> Option<Fetch> {
        let fetch = |name: String, max_len: usize| Some(Fetch { name, max_len });
        match &self.stage {
            Stage::Root => {
                let next = self.root.head.version + 1;
                fetch(format!("{next}.root.json"), self.limits.root)
            }
            Stage::Timestamp => fetch("timestamp.json".to_owned(), self.limits.timestamp),
            Stage::Snapshot => {
                let meta = &self.timestamp.as_ref()?.snapshot;
                fetch(
                    self.file_name("snapshot", meta),
                    length(meta, self.limits.snapshot),
                )
            }
            Stage::Role { name, .. } => {
                let meta = self.snapshot.as_ref()?.meta.get(&json_name(name))?;
                fetch(
                    self.file_name(name, meta),
                    length(meta, self.limits.targets),
                )
            }
            Stage::Idle => None,
        }
    }

    /// Takes what came of [`Client::wanted`], and says what is to be stored. The host makes the
    /// changes durable before it goes on.
    ///
    /// # Errors
    /// [`Refused`]: the update is over; what was stored before stays good.
    pub fn supply(&mut self, fetched: Fetched<'_>) -> Changes {
        let Fetch { name, max_len } = self.wanted().ok_or(Refused::NothingAsked)?;
        let bytes = match fetched {
            Fetched::Bytes(bytes) if bytes.len() > max_len => {
                let (file, limit) = (name, max_len);
                return Err(Refused::TooLong { file, limit });
            }
            Fetched::Bytes(bytes) => bytes,
            Fetched::Absent if self.stage == Stage::Root => return self.end_of_roots(),
            Fetched::Absent => return Err(Refused::Absent { file: name }),
        };
        match self.stage.clone() {
            Stage::Root => self.take_root(&name, bytes),
            Stage::Timestamp => self.take_timestamp(&name, bytes),
            Stage::Snapshot => self.take_snapshot(&name, bytes),
            Stage::Role {
                name: role,
                delegator,
            } => self.take_role(&name, bytes, &role, delegator.as_deref()),
            Stage::Idle => Err(Refused::NothingAsked),
        }
    }

    /// The root that is trusted now.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The newest timestamp, once it was taken.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Timestamp> {
        self.timestamp.as_ref()
    }

    /// The newest snapshot, once it was taken.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// A targets role, once it was taken.
    #[must_use]
    pub fn targets(&self, role: &str) -> Option<&Targets> {
        self.targets.get(role)
    }

    pub(super) fn delegations_max(&self) -> usize {
        self.limits.delegations
    }

    /// A new root is signed by the old one's keys and by its own, and follows it directly
    /// (specification 5.3.4 and 5.3.5).
    fn take_root(&mut self, file: &str, bytes: &[u8]) -> Changes {
        let signed = parse(file, bytes, self.limits.root)?;
        let (keys, role) = (&self.root.keys, self.root.role("root"));
        let json = verify(file, &signed, keys, role, &self.check)?;
        let root = read(file, Root::read(json))?;
        verify(file, &signed, &root.keys, root.role("root"), &self.check)?;
        expect_version(file, &root.head, self.root.head.version + 1)?;
        let mut changes = Vec::new();
        // Whoever had a key that is gone could have signed the highest of versions; what it signed
        // must not keep its successor out (specification 5.3.11).
        let rotated = |name| self.root.role(name).lost_a_key_in(root.role(name));
        if rotated("timestamp") || rotated("snapshot") {
            for role in ["timestamp", "snapshot"] {
                if self.stored.remove(role).is_some() {
                    let role = role.to_owned();
                    changes.push(Change::Forget { role });
                }
            }
        }
        changes.push(store("root", bytes));
        self.root = root;
        self.rotations += 1;
        let last = self.rotations >= self.limits.rotations;
        if last || self.root.head.version == VERSION_MAX {
            changes.extend(self.end_of_roots()?);
        }
        Ok(changes)
    }

    /// The last root must not be out of date, while those before may (5.3.10).
    fn end_of_roots(&mut self) -> Changes {
        self.expect_in_force("root.json", &self.root.head)?;
        self.stage = Stage::Timestamp;
        if let Some(bytes) = self.stored.get("timestamp") {
            // One that does not verify any more is no reason to refuse its successor.
            self.timestamp = self.read_timestamp("timestamp.json", bytes).ok();
        }
        // A clock that was set back must not bring to life what has ended.
        let signed_at = self.timestamp.as_ref().and_then(|stamp| stamp.issued);
        self.now = signed_at.map_or(self.now, |signed_at| signed_at.max(self.now));
        Ok(Vec::new())
    }

    fn read_timestamp(&self, file: &str, bytes: &[u8]) -> Result<Timestamp, Refused> {
        let signed = parse(file, bytes, self.limits.timestamp)?;
        let role = self.root.role("timestamp");
        let json = verify(file, &signed, &self.root.keys, role, &self.check)?;
        read(file, Timestamp::read(json))
    }

    fn take_timestamp(&mut self, file: &str, bytes: &[u8]) -> Changes {
        let new = self.read_timestamp(file, bytes)?;
        let mut changes = Vec::new();
        match &self.timestamp {
            Some(old) if new.head.version < old.head.version => {
                return Err(rollback(file, new.head.version, old.head.version));
            }
            // The same version again brings nothing, whatever it holds.
            Some(old) if new.head.version == old.head.version => {
                self.expect_in_force(file, &old.head)?;
            }
            old => {
                if let Some(old) = old
                    && new.snapshot.version < old.snapshot.version
                {
                    let (found, trusted) = (new.snapshot.version, old.snapshot.version);
                    return Err(rollback("snapshot.json", found, trusted));
                }
                self.expect_in_force(file, &new.head)?;
                changes.push(store("timestamp", bytes));
                self.timestamp = Some(new);
            }
        }
        self.stage = Stage::Snapshot;
        if self.stored_snapshot_is_current() {
            changes.extend(self.want_role(TARGETS, None)?);
        }
        Ok(changes)
    }

    /// Loads the stored snapshot as what a new one is compared with, and says whether it is the one
    /// that the timestamp names.
    fn stored_snapshot_is_current(&mut self) -> bool {
        let (Some(bytes), Some(timestamp)) = (self.stored.get("snapshot"), &self.timestamp) else {
            return false;
        };
        let Ok(snapshot) = self.read_snapshot("snapshot.json", bytes) else {
            return false;
        };
        let meta = &timestamp.snapshot;
        let current = snapshot.head.version == meta.version
            && meta.fits(bytes)
            && !snapshot.head.has_expired(self.now);
        self.snapshot = Some(snapshot);
        current
    }

    fn read_snapshot(&self, file: &str, bytes: &[u8]) -> Result<Snapshot, Refused> {
        let signed = parse(file, bytes, bytes.len())?;
        let role = self.root.role("snapshot");
        let json = verify(file, &signed, &self.root.keys, role, &self.check)?;
        read(file, Snapshot::read(json))
    }

    fn take_snapshot(&mut self, file: &str, bytes: &[u8]) -> Changes {
        let timestamp = self.timestamp.as_ref().ok_or(Refused::NothingAsked)?;
        let meta = &timestamp.snapshot;
        if !meta.fits(bytes) {
            let file = file.to_owned();
            return Err(Refused::Mismatch { file });
        }
        let new = self.read_snapshot(file, bytes)?;
        expect_version(file, &new.head, meta.version)?;
        if let Some(old) = &self.snapshot {
            no_file_goes_back(file, old, &new)?;
        }
        self.expect_in_force(file, &new.head)?;
        self.snapshot = Some(new);
        let mut changes = vec![store("snapshot", bytes)];
        changes.extend(self.want_role(TARGETS, None)?);
        Ok(changes)
    }

    /// Goes for a targets role: from the medium when that is the current one, else by a fetch.
    pub(super) fn want_role(&mut self, role: &str, delegator: Option<&str>) -> Changes {
        self.stage = Stage::Idle;
        if self.targets.contains_key(role) {
            return Ok(Vec::new());
        }
        let listed = self.snapshot.as_ref().map(|snapshot| &snapshot.meta);
        let meta = listed.and_then(|meta| meta.get(&json_name(role)));
        let Some(meta) = meta.filter(|_| self.keys_of(role, delegator).is_some()) else {
            let role = role.to_owned();
            return Err(Refused::NotDelegated { role });
        };
        let name = format!("{}.json", quoted(role));
        let stored = self.stored.get(role).filter(|bytes| meta.fits(bytes));
        if let Some(Ok(targets)) =
            stored.map(|bytes| self.read_targets(&name, bytes, role, delegator))
        {
            self.targets.insert(role.to_owned(), targets);
            return Ok(Vec::new());
        }
        self.stage = Stage::Role {
            name: role.to_owned(),
            delegator: delegator.map(str::to_owned),
        };
        Ok(Vec::new())
    }

    fn keys_of(
        &self,
        role: &str,
        delegator: Option<&str>,
    ) -> Option<(&BTreeMap<String, Key>, &RoleKeys)> {
        let Some(delegator) = delegator else {
            return Some((&self.root.keys, self.root.role(TARGETS)));
        };
        let delegations = self.targets.get(delegator)?.delegations.as_ref()?;
        Some((&delegations.keys, &delegations.role(role)?.keys))
    }

    fn read_targets(
        &self,
        file: &str,
        bytes: &[u8],
        role: &str,
        delegator: Option<&str>,
    ) -> Result<Targets, Refused> {
        let not_delegated = || Refused::NotDelegated {
            role: role.to_owned(),
        };
        let listed = self.snapshot.as_ref().map(|snapshot| &snapshot.meta);
        let meta = listed.and_then(|meta| meta.get(&json_name(role)));
        let meta = meta.ok_or_else(not_delegated)?;
        if !meta.fits(bytes) {
            let file = file.to_owned();
            return Err(Refused::Mismatch { file });
        }
        let signed = parse(file, bytes, bytes.len())?;
        let (keys, of_role) = self.keys_of(role, delegator).ok_or_else(not_delegated)?;
        let json = verify(file, &signed, keys, of_role, &self.check)?;
        let targets = read(file, Targets::read(json))?;
        expect_version(file, &targets.head, meta.version)?;
        self.expect_in_force(file, &targets.head)?;
        Ok(targets)
    }

    fn take_role(
        &mut self,
        file: &str,
        bytes: &[u8],
        role: &str,
        delegator: Option<&str>,
    ) -> Changes {
        let targets = self.read_targets(file, bytes, role, delegator)?;
        self.targets.insert(role.to_owned(), targets);
        self.stage = Stage::Idle;
        let mut changes = vec![store(role, bytes)];
        changes.extend(self.go_on_searching()?);
        Ok(changes)
    }

    fn expect_in_force(&self, file: &str, head: &Head) -> Result<(), Refused> {
        if head.has_expired(self.now) {
            return Err(Refused::Expired {
                file: file.to_owned(),
                expires: head.expires,
                now: self.now,
            });
        }
        Ok(())
    }

    fn file_name(&self, role: &str, meta: &Meta) -> String {
        let name = quoted(role);
        if self.root.consistent_snapshot {
            format!("{}.{name}.json", meta.version)
        } else {
            format!("{name}.json")
        }
    }
}

fn json_name(role: &str) -> String {
    [role, ".json"].concat()
}

fn length(meta: &Meta, limit: usize) -> usize {
    let said = meta.length.and_then(|length| usize::try_from(length).ok());
    said.map_or(limit, |length| length.min(limit))
}

fn store(role: &str, bytes: &[u8]) -> Change {
    Change::Store {
        role: role.to_owned(),
        bytes: bytes.to_vec(),
    }
}

fn rollback(file: &str, found: u32, trusted: u32) -> Refused {
    Refused::Rollback {
        file: file.to_owned(),
        found,
        trusted,
    }
}

/// No file that a trusted snapshot lists is missing from the next one or older there (5.5.5).
fn no_file_goes_back(file: &str, old: &Snapshot, new: &Snapshot) -> Result<(), Refused> {
    for (name, meta) in &old.meta {
        match new.meta.get(name) {
            None => {
                return Err(Refused::Dropped {
                    file: file.to_owned(),
                    missing: name.clone(),
                });
            }
            Some(found) if found.version < meta.version => {
                return Err(rollback(name, found.version, meta.version));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn expect_version(file: &str, head: &Head, wanted: u32) -> Result<(), Refused> {
    if head.version == wanted {
        return Ok(());
    }
    Err(Refused::Version {
        file: file.to_owned(),
        found: head.version,
        wanted,
    })
}

fn parse(file: &str, bytes: &[u8], limit: usize) -> Result<Signed, Refused> {
    Signed::parse(bytes, limit).map_err(|error: SignedError| malformed(file, error.to_string()))
}

fn read<T>(file: &str, form: Form<T>) -> Result<T, Refused> {
    form.map_err(|error| malformed(file, error.to_string()))
}

fn malformed(file: &str, reason: String) -> Refused {
    let file = file.to_owned();
    Refused::Malformed { file, reason }
}

fn verify<'a>(
    file: &str,
    signed: &'a Signed,
    keys: &BTreeMap<String, Key>,
    role: &RoleKeys,
    check: &impl CheckSignature,
) -> Result<&'a Json, Refused> {
    signed
        .verified_by(keys, role, check)
        .map_err(|threshold| Refused::Signatures {
            file: file.to_owned(),
            threshold,
        })
}
