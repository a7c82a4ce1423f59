//! The trust repository: a folder that any static server can serve (docs/spec/trust.md section 7).
//!
//! ```text
//!  officers' folder: N.root.json, N.targets.json, bundle ──┐
//!  register: denied indexes ──▶ status lists ──▶ denylist ─┼─▶ snapshot ─▶ timestamp.json
//!  platform: fare packs ──────────────────────▶ fares ─────┘    each signed by its online key
//! ```
//!
//! Every file but `timestamp.json` is written once under a name of its own, and `timestamp.json` is
//! replaced when all of them and their names are durable: whatever a terminal reads, and wherever the
//! power fails, is one whole set.

mod denials;
mod disk;
mod election;
mod folder;
mod inputs;
mod kms;
mod offline;
mod service;
mod shared;
mod signer;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::FileError;
use obol_credential::UnixTime;
use obol_kms_client::KmsError;
use obol_trust::json::Json;
use obol_trust::tuf::{
    Head, Key, Meta, Root, Signature, Signed, Snapshot, TargetFile, Targets, Timestamp,
    VERSION_MAX, der_of_raw_signature,
};
use p256::ecdsa::VerifyingKey;
use thiserror::Error;

use crate::register::RegisterError;

pub(crate) use denials::lists_of;
pub use denials::{DenialsRefused, read_denials};
pub use disk::{Disk, DiskEntry, FileSystem};
pub use election::{Elected, Election, ElectionError};
pub use inputs::{EPOCHS_AHEAD, EPOCHS_BACK, Inputs, InputsRefused};
pub use kms::KmsSigner;
pub use offline::{Offline, OfflineError, PERIOD_OVERLAP_S};
pub(crate) use offline::{place, read_root, read_targets};
pub use service::{Settings, run};
pub(crate) use shared::{PushRefused, SharedState, kids, parse_kid};
pub use shared::{SuspendCommand, SuspendedKey};
pub use signer::{OnlineKeys, OnlineRole, RoleSigner, SignFailed};
pub use watch::{TICK, publish_while_elected};

use folder::{Folder, metadata};
use inputs::MadeLists;

/// A kid as a person gives it: 8 lower-case hexadecimal digits.
///
/// # Errors
/// What it is not.
pub fn read_kid(text: &str) -> Result<obol_credential::Kid, String> {
    parse_kid(text).ok_or_else(|| "not 8 lower-case hexadecimal digits".to_owned())
}

/// Life of what is signed online, seconds: 24 h.
pub const ONLINE_LIFE_S: u32 = 24 * 3600;
/// After so many seconds a timestamp is signed again, so that terminals learn the time.
pub const TIMESTAMP_RENEW_S: u32 = 600;
/// After so many seconds deny list, fares and snapshot are signed again although nothing changed.
pub const ROLE_RENEW_S: u32 = 3600;
/// For so many seconds a file that no longer belongs to the newest set stays, for terminals in the
/// middle of an update.
pub const KEEP_S: u32 = 3600;

/// 2020-01-01T00:00:00Z: versions are at least the seconds since, so that a repository that is
/// rebuilt from nothing goes on above what terminals have seen.
const VERSIONS_SINCE: u32 = 1_577_836_800;

const _: () = assert!(ROLE_RENEW_S < ONLINE_LIFE_S && TIMESTAMP_RENEW_S < ONLINE_LIFE_S);

/// Why nothing was published. The repository stays as it was.
#[derive(Debug, Error, Diagnostic)]
pub enum PublishError {
    /// A file cannot be written or read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// What the officers signed cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Offline(#[from] OfflineError),
    /// Root or targets name no key of ours for a role, or want more than its signature.
    #[error("the officers' {document} lets no key that is active here sign for {role} alone")]
    #[diagnostic(help(
        "compare the keys of the key management with those that the officers signed"
    ))]
    NotOurKey {
        /// Which document.
        document: &'static str,
        /// The role.
        role: OnlineRole,
    },
    /// No signature.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sign(#[from] SignFailed),
    /// What is to be published breaks a rule.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Inputs(#[from] InputsRefused),
    /// The register cannot be asked.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Register(#[from] RegisterError),
    /// What another issuer denies cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Denials(#[from] DenialsRefused),
    /// The list of suspended keys.
    #[error("{} has a line {line:?}", path.display())]
    #[diagnostic(help("begin each line with a kid, 8 hexadecimal digits in lower case"))]
    Suspended {
        /// The file.
        path: PathBuf,
        /// What is no kid.
        line: String,
    },
    /// All versions are used up.
    #[error("the version of {0} cannot be counted further")]
    #[diagnostic(help("have the officers rotate the role's key: terminals then forget versions"))]
    Versions(OnlineRole),
}

/// Why this process does not publish at all.
#[derive(Debug, Error)]
pub(crate) enum StandFailed {
    #[error(transparent)]
    Election(#[from] ElectionError),
    #[error(transparent)]
    Kms(#[from] KmsError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A role as it is published now.
#[derive(Clone, Debug)]
struct Published<T> {
    content: T,
    bytes: Vec<u8>,
    at: UnixTime,
}

#[derive(Debug, Default)]
struct Current {
    timestamp: Option<Published<Timestamp>>,
    snapshot: Option<Published<Snapshot>>,
    denylist: Option<Published<Targets>>,
    fares: Option<Published<Targets>>,
}

impl Current {
    /// What the role has published is due to be signed anew, in a version above it.
    fn sign_again(&mut self, role: OnlineRole) {
        let long_ago = UnixTime(0);
        let targets = match role {
            OnlineRole::Timestamp => {
                return self.timestamp.iter_mut().for_each(|of| of.at = long_ago);
            }
            OnlineRole::Snapshot => {
                return self.snapshot.iter_mut().for_each(|of| of.at = long_ago);
            }
            OnlineRole::Denylist => &mut self.denylist,
            OnlineRole::Fares => &mut self.fares,
        };
        targets.iter_mut().for_each(|of| of.at = long_ago);
    }
}

/// What a publication led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new timestamp, with this version, stands in the repository.
    Published(u32),
    /// The newest one is as new as it has to be.
    UpToDate,
}

/// Makes and renews the repository. There is one at a time: see [`Election`].
#[derive(Debug)]
pub struct Publisher<S, D = FileSystem> {
    folder: Folder<D>,
    offline: Offline,
    keys: OnlineKeys<S>,
    current: Current,
    lists: MadeLists,
}

impl<S: RoleSigner> Publisher<S> {
    /// Publishes into `repository` what officers laid into `offline`, and goes on where an earlier
    /// publisher stopped. `elected` says that there is no other.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn new(
        _elected: &Elected,
        repository: &Path,
        offline: PathBuf,
        keys: OnlineKeys<S>,
    ) -> Result<Self, PublishError> {
        let place = repository.to_owned();
        let disk = FileSystem::open(repository).map_err(|source| {
            let path = place.clone();
            FileError::Write { path, source }
        })?;
        Self::open(Folder::open(disk, place)?, offline, keys)
    }
}

impl<S: RoleSigner, D: Disk> Publisher<S, D> {
    /// As [`Publisher::new`], into the empty path of a disk.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn on(
        _elected: &Elected,
        disk: D,
        offline: PathBuf,
        keys: OnlineKeys<S>,
    ) -> Result<Self, PublishError> {
        Self::open(Folder::open(disk, PathBuf::new())?, offline, keys)
    }

    fn open(
        folder: Folder<D>,
        offline: PathBuf,
        keys: OnlineKeys<S>,
    ) -> Result<Self, PublishError> {
        let offline = Offline::new(offline);
        let current = folder.current(&offline)?;
        Ok(Self {
            folder,
            offline,
            keys,
            current,
            lists: MadeLists::default(),
        })
    }

    /// How many status lists it has made since it began; a list that did not change is not made
    /// again.
    #[must_use]
    pub fn lists_made(&self) -> u64 {
        self.lists.count()
    }

    /// Publishes `inputs` if they changed, or what has to be signed again at `now`.
    ///
    /// # Errors
    /// [`PublishError`]; then the repository stays as it was.
    pub async fn publish(
        &mut self,
        inputs: &Inputs,
        now: UnixTime,
    ) -> Result<Outcome, PublishError> {
        let roots = self.offline.roots(now)?;
        let (root, _) = roots.last().expect("a chain of roots has a first one");
        let (targets, targets_bytes) = self.offline.targets(root, now)?;
        self.follow_keys(root, &targets).await?;
        for (path, file) in &targets.targets {
            let bytes = self.offline.file(path, file)?;
            self.folder.write_target(path, &bytes)?;
        }
        let name = format!("{}.targets.json", targets.head.version);
        self.folder.write_once(&metadata(&name), &targets_bytes)?;
        let files = inputs.denylist(&mut self.lists)?;
        let denylist = self.role(OnlineRole::Denylist, files, now).await?;
        let fares = self.role(OnlineRole::Fares, inputs.fares(), now).await?;
        let of = |name: &str, version, bytes: &[u8]| (name.to_owned(), Meta::of(version, bytes));
        let meta = BTreeMap::from([
            of("targets.json", targets.head.version, &targets_bytes),
            of(
                "denylist.json",
                denylist.content.head.version,
                &denylist.bytes,
            ),
            of("fares.json", fares.content.head.version, &fares.bytes),
        ]);
        // Kept at once: a version that was signed is not signed again with another content, whatever
        // fails from here on.
        self.current.denylist = Some(denylist.clone());
        self.current.fares = Some(fares.clone());
        let snapshot = self.snapshot(meta, now).await?;
        self.current.snapshot = Some(snapshot.clone());
        let outcome = self.timestamp(&roots, &snapshot, now).await?;
        self.folder.settle()?;
        let referenced = [&targets, &denylist.content, &fares.content];
        self.folder
            .forget_unreferenced(&snapshot.content, &referenced, now)?;
        Ok(outcome)
    }

    /// Each role is signed with a key that officers named for it. Where they have named another in
    /// the place of the one that signed until now, and the key management has it, that one signs
    /// from here on: a rotation restarts nothing.
    async fn follow_keys(&mut self, root: &Root, targets: &Targets) -> Result<(), PublishError> {
        for role in OnlineRole::ALL {
            let (document, named) = named_keys(role, root, targets);
            let signer = self.keys.of(role);
            if named.contains(signer.key()) {
                continue;
            }
            let Some(successor) = signer.successor(role, &named).await? else {
                return Err(PublishError::NotOurKey { document, role });
            };
            let id = Key::p256(successor.key()).id();
            tracing::info!(%role, key = %id, "officers named another key, which signs from now on");
            self.keys.replace(role, successor);
            self.current.sign_again(role);
        }
        Ok(())
    }

    async fn role(
        &mut self,
        role: OnlineRole,
        files: BTreeMap<String, Vec<u8>>,
        now: UnixTime,
    ) -> Result<Published<Targets>, PublishError> {
        for (path, bytes) in &files {
            self.folder.write_target(path, bytes)?;
        }
        let file = |(path, bytes): (&String, &Vec<u8>)| (path.clone(), TargetFile::of(bytes));
        let targets: BTreeMap<_, _> = files.iter().map(file).collect();
        let before = match role {
            OnlineRole::Denylist => &self.current.denylist,
            _ => &self.current.fares,
        };
        if let Some(before) = before
            && before.content.targets == targets
            && now < before.at.plus(ROLE_RENEW_S)
        {
            let before = before.clone();
            self.keep(role, before.content.head.version, &before.bytes)?;
            return Ok(before);
        }
        let last = before.as_ref().map(|before| before.content.head.version);
        let content = Targets {
            head: Head::new(version(role, last, now)?, now.plus(ONLINE_LIFE_S)),
            targets,
            delegations: None,
        };
        let bytes = self.sign(role, content.to_json()).await?;
        let name = format!("{}.{}.json", content.head.version, role.name());
        self.folder.write_once(&metadata(&name), &bytes)?;
        let at = now;
        Ok(Published { content, bytes, at })
    }

    /// What is still good lies in the folder, also when somebody has lost or damaged the folder.
    fn keep(&mut self, role: OnlineRole, version: u32, bytes: &[u8]) -> Result<(), PublishError> {
        let name = format!("{version}.{}.json", role.name());
        Ok(self.folder.write_once(&metadata(&name), bytes)?)
    }

    async fn snapshot(
        &mut self,
        meta: BTreeMap<String, Meta>,
        now: UnixTime,
    ) -> Result<Published<Snapshot>, PublishError> {
        let role = OnlineRole::Snapshot;
        let before = &self.current.snapshot;
        if let Some(before) = before
            && before.content.meta == meta
            && now < before.at.plus(ROLE_RENEW_S)
        {
            let before = before.clone();
            self.keep(role, before.content.head.version, &before.bytes)?;
            return Ok(before);
        }
        let last = before.as_ref().map(|before| before.content.head.version);
        let head = Head::new(version(role, last, now)?, now.plus(ONLINE_LIFE_S));
        let content = Snapshot { head, meta };
        let bytes = self.sign(role, content.to_json()).await?;
        let name = format!("{}.snapshot.json", content.head.version);
        self.folder.write_once(&metadata(&name), &bytes)?;
        let at = now;
        Ok(Published { content, bytes, at })
    }

    async fn timestamp(
        &mut self,
        roots: &[(Root, Vec<u8>)],
        snapshot: &Published<Snapshot>,
        now: UnixTime,
    ) -> Result<Outcome, PublishError> {
        let meta = Meta::of(snapshot.content.head.version, &snapshot.bytes);
        let before = &self.current.timestamp;
        if let Some(before) = before
            && before.content.snapshot == meta
            && now < before.at.plus(TIMESTAMP_RENEW_S)
        {
            let (name, bytes) = (metadata("timestamp.json"), before.bytes.clone());
            self.lay_roots(roots)?;
            self.folder.write_once(&name, &bytes)?;
            return Ok(Outcome::UpToDate);
        }
        let role = OnlineRole::Timestamp;
        let last = before.as_ref().map(|before| before.content.head.version);
        // A clock that was set back does not set back those of the terminals.
        let signed_at = before.as_ref().and_then(|before| before.content.issued);
        let issued = signed_at.map_or(now, |signed_at| signed_at.max(now));
        let content = Timestamp {
            head: Head::new(version(role, last, now)?, now.plus(ONLINE_LIFE_S)),
            snapshot: meta,
            issued: Some(issued),
        };
        let bytes = self.sign(role, content.to_json()).await?;
        // Whoever finds a root that names another key wants the timestamp of that key: they come
        // together, as nearly as two files can.
        self.lay_roots(roots)?;
        self.folder.replace(&metadata("timestamp.json"), &bytes)?;
        let version = content.head.version;
        let at = now;
        self.current.timestamp = Some(Published { content, bytes, at });
        Ok(Outcome::Published(version))
    }

    /// With all that a timestamp builds on, durable when this returns.
    fn lay_roots(&mut self, roots: &[(Root, Vec<u8>)]) -> Result<(), PublishError> {
        for (root, bytes) in roots {
            let name = format!("{}.root.json", root.head.version);
            self.folder.write_once(&metadata(&name), bytes)?;
        }
        Ok(self.folder.settle()?)
    }

    /// Signed, and verified once more, by the key that terminals will ask.
    async fn sign(&self, role: OnlineRole, json: Json) -> Result<Vec<u8>, PublishError> {
        let signer = self.keys.of(role);
        let canonical = json.canonical();
        let raw = signer.sign(role, &canonical).await?;
        let key: &VerifyingKey = signer.key();
        let wrong = || SignFailed::new(role, "the signature is not that of the role's key".into());
        let bytes = der_of_raw_signature(&raw)
            .filter(|der| is_signature(key, &canonical, der))
            .ok_or_else(wrong)?;
        let keyid = Key::p256(key).id().0;
        Ok(Signed::assemble(json, &[Signature { keyid, bytes }]))
    }
}

/// The keys of which each may sign for the role alone, and the document that says so.
fn named_keys(
    role: OnlineRole,
    root: &Root,
    targets: &Targets,
) -> (&'static str, Vec<VerifyingKey>) {
    let delegations = targets.delegations.as_ref();
    let (document, named) = match role {
        OnlineRole::Timestamp | OnlineRole::Snapshot => {
            ("root", Some((root.role(role.name()), &root.keys)))
        }
        OnlineRole::Denylist | OnlineRole::Fares => {
            let of = delegations.and_then(|of| Some((&of.role(role.name())?.keys, &of.keys)));
            ("targets", of)
        }
    };
    let Some((role, keys)) = named.filter(|(role, _)| role.threshold == 1) else {
        return (document, Vec::new());
    };
    // Our signature bears the name of the key in its plain form.
    let plain = |id: &String| {
        let key = keys.get(id)?.as_p256()?;
        (Key::p256(&key).id().0 == *id).then_some(key)
    };
    (document, role.keyids.iter().filter_map(plain).collect())
}

fn is_signature(key: &VerifyingKey, message: &[u8], der: &[u8]) -> bool {
    use p256::ecdsa::signature::Verifier;
    p256::ecdsa::Signature::from_der(der).is_ok_and(|made| key.verify(message, &made).is_ok())
}

fn version(role: OnlineRole, last: Option<u32>, now: UnixTime) -> Result<u32, PublishError> {
    let by_clock = now.minus(VERSIONS_SINCE).0.max(1);
    let next = last.map_or(1, |last| last.saturating_add(1));
    let version = next.max(by_clock);
    if version > VERSION_MAX {
        return Err(PublishError::Versions(role));
    }
    Ok(version)
}
