//! A signed repository in memory, a link to it that can be bad, and a terminal's folder.

#![allow(dead_code)] // each of the tests that share this needs a part of it

use std::collections::BTreeMap;
use std::io;

use obol_fault_vfs::FaultFs;
use obol_pos_sdk::tuf::*;
use obol_pos_sdk::{
    BUNDLE_PATH, FileRequest, Received, Shelf, StatusList, StatusListId, SuspendedKeys,
    TrustSource, TrustStorage, TrustUpdater, UnixTime, status_list_path,
};
use obol_trust::TrustBundle;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

use crate::issuing::Issuing;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const DAY: u32 = 86_400;
pub(crate) const LIST: usize = 1024;

fn signer(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn role(seed: u8) -> RoleKeys {
    RoleKeys {
        keyids: vec![Key::p256(signer(seed).verifying_key()).id().0],
        threshold: 1,
    }
}

fn keys(seeds: &[u8]) -> BTreeMap<String, Key> {
    let key = |seed: &u8| Key::p256(signer(*seed).verifying_key());
    seeds.iter().map(key).map(|key| (key.id().0, key)).collect()
}

fn signed(json: obol_trust::json::Json, seed: u8) -> Vec<u8> {
    let made: p256::ecdsa::Signature = signer(seed).sign(&json.canonical());
    let signature = Signature {
        keyid: role(seed).keyids.remove(0),
        bytes: made.to_der().as_bytes().to_vec(),
    };
    Signed::assemble(json, &[signature])
}

/// Seeds: root 1, timestamp and snapshot 2, targets 3, denylist 4, fares 5.
pub(crate) struct Repository {
    pub(crate) issuing: Issuing,
    pub(crate) version: u32,
    pub(crate) now: UnixTime,
    pub(crate) targets_end: UnixTime,
    pub(crate) denied: Vec<u32>,
    pub(crate) suspended: bool,
    /// The fare pack's bytes.
    pub(crate) fares: Vec<u8>,
    /// Further files of the deny list, as they are.
    pub(crate) more: BTreeMap<String, Vec<u8>>,
    pub(crate) metadata: BTreeMap<String, Vec<u8>>,
    pub(crate) targets: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let mut repository = Self {
            issuing: Issuing::new(),
            version: 0,
            now: NOW,
            targets_end: NOW.plus(30 * DAY),
            denied: Vec::new(),
            suspended: false,
            fares: b"a pack".to_vec(),
            more: BTreeMap::new(),
            metadata: BTreeMap::new(),
            targets: BTreeMap::new(),
        };
        let roles = [
            ("root", role(1)),
            ("timestamp", role(2)),
            ("snapshot", role(2)),
            ("targets", role(3)),
        ];
        let root = Root {
            head: Head::new(1, NOW.plus(365 * DAY)),
            consistent_snapshot: true,
            keys: keys(&[1, 2, 3]),
            roles: roles.map(|(name, role)| (name.to_owned(), role)).into(),
        };
        let bytes = signed(root.to_json(), 1);
        repository.metadata.insert("1.root.json".to_owned(), bytes);
        repository.publish();
        repository
    }

    pub(crate) fn list_id(&self) -> StatusListId {
        StatusListId::of(self.issuing.kid(), NOW)
    }

    fn file(&mut self, path: &str, bytes: Vec<u8>) -> (String, TargetFile) {
        let file = TargetFile::of(&bytes);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let hash = file.hashes.prefix();
        let location = format!("{folder}/{hash}.{name}");
        let location = location.trim_start_matches('/').to_owned();
        self.targets.insert(location, bytes);
        (path.to_owned(), file)
    }

    pub(crate) fn publish(&mut self) {
        self.version += 1;
        let (version, fresh) = (self.version, self.now.plus(DAY));
        let mut list = StatusList::empty(LIST).unwrap();
        for index in &self.denied {
            list.deny(*index).unwrap();
        }
        let kids = self.suspended.then(|| self.issuing.kid());
        let suspended = SuspendedKeys::new(kids.into_iter().collect()).unwrap();
        let bundle = self.issuing.bundle(NOW, |_| {});
        let entries = TrustBundle::decode(&bundle).unwrap().entries().to_vec();
        let bundle = TrustBundle::new(NOW, NOW.plus(60 * DAY), entries)
            .unwrap()
            .encode();
        let bundle = self.file(BUNDLE_PATH, bundle);
        let path = status_list_path(self.list_id());
        let mut denylist = BTreeMap::from([
            self.file(&path, list.encode()),
            self.file("denylist/suspended.cbor", suspended.encode()),
        ]);
        for (path, bytes) in self.more.clone() {
            denylist.extend([self.file(&path, bytes)]);
        }
        let pack = self.file("fares/metro.cbor", self.fares.clone());
        let delegated = |name: &str, seed, pattern: &str| DelegatedRole {
            name: name.to_owned(),
            keys: role(seed),
            terminating: true,
            scope: Scope::Paths(vec![pattern.to_owned()]),
        };
        let top = Targets {
            head: Head::new(version, self.targets_end),
            targets: [bundle].into(),
            delegations: Some(Delegations {
                keys: keys(&[4, 5]),
                roles: vec![
                    delegated("denylist", 4, "denylist/*"),
                    delegated("fares", 5, "fares/*"),
                ],
            }),
        };
        let of = |targets| Targets {
            head: Head::new(version, fresh),
            targets,
            delegations: None,
        };
        let mut meta = BTreeMap::new();
        let roles = [
            ("targets", top, 3),
            ("denylist", of(denylist), 4),
            ("fares", of([pack].into()), 5),
        ];
        for (name, targets, seed) in roles {
            let bytes = signed(targets.to_json(), seed);
            meta.insert(format!("{name}.json"), Meta::of(version, &bytes));
            self.metadata
                .insert(format!("{version}.{name}.json"), bytes);
        }
        let head = Head::new(version, fresh);
        let snapshot = signed(Snapshot { head, meta }.to_json(), 2);
        let timestamp = Timestamp {
            head: Head::new(version, fresh),
            snapshot: Meta::of(version, &snapshot),
            issued: Some(self.now),
        };
        let bytes = signed(timestamp.to_json(), 2);
        self.metadata.insert("timestamp.json".to_owned(), bytes);
        self.metadata
            .insert(format!("{version}.snapshot.json"), snapshot);
    }
}

/// The link: how many bytes come before it breaks, each time.
pub(crate) struct Link<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) cut: Option<usize>,
    /// Whether the server knows ranges.
    pub(crate) ranges: bool,
    pub(crate) asked: Vec<String>,
}

impl<'a> Link<'a> {
    pub(crate) fn to(repository: &'a Repository) -> Self {
        Self {
            repository,
            cut: None,
            ranges: true,
            asked: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no network")]
pub(crate) struct NoNetwork;

impl TrustSource for Link<'_> {
    type Error = NoNetwork;

    fn fetch(&mut self, request: &FileRequest<'_>) -> Result<Received, NoNetwork> {
        self.asked.push(request.name.to_owned());
        let shelf = match request.shelf {
            Shelf::Metadata => &self.repository.metadata,
            Shelf::Targets => &self.repository.targets,
        };
        let Some(file) = shelf.get(request.name) else {
            return Ok(Received::Absent);
        };
        let offset = if self.ranges { request.offset } else { 0 };
        let rest = &file[offset.min(file.len())..];
        let most = request.max_len + 1 - offset;
        let came = rest.len().min(most).min(self.cut.unwrap_or(usize::MAX));
        let broken = (came < rest.len()).then(|| "the link broke".to_owned());
        Ok(Received::Bytes {
            offset,
            bytes: rest[..came].to_vec(),
            broken,
        })
    }
}

/// A folder whose power can be cut.
#[derive(Clone)]
pub(crate) struct Folder(pub(crate) FaultFs);

impl TrustStorage for Folder {
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self.0.read(name)? {
            Some(bytes) if bytes.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            bytes => Ok(bytes),
        }
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.create(name)?;
        file.append(bytes)?;
        file.sync()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match self.0.read(name)? {
            Some(_) => self.0.remove(name),
            None => Ok(()),
        }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.0.sync_folder("")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.list(""))
    }
}

pub(crate) type Updater = TrustUpdater<Folder, P256>;

pub(crate) fn updater(fs: &FaultFs) -> Updater {
    Updater::new(Folder(fs.clone()), Limits::TERMINAL, P256)
}

pub(crate) fn initialised(repository: &Repository) -> FaultFs {
    let fs = FaultFs::default();
    let root = &repository.metadata["1.root.json"];
    updater(&fs).initialise::<NoNetwork>(root).unwrap();
    fs
}
