//! A repository in memory, whose every file a test can bend before it is signed.

use std::collections::BTreeMap;

use obol_credential::UnixTime;
use obol_trust::json::Json;
use obol_trust::tuf::*;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const LATER: UnixTime = UnixTime(1_800_086_400);

pub(crate) fn signer(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

pub(crate) fn key(seed: u8) -> Key {
    Key::p256(signer(seed).verifying_key())
}

pub(crate) fn keyid(seed: u8) -> String {
    key(seed).id().0
}

pub(crate) fn role(seeds: &[u8], threshold: u32) -> RoleKeys {
    RoleKeys {
        keyids: seeds.iter().map(|seed| keyid(*seed)).collect(),
        threshold,
    }
}

pub(crate) fn signature(json: &Json, seed: u8) -> Signature {
    let made: p256::ecdsa::Signature = signer(seed).sign(&json.canonical());
    Signature {
        keyid: keyid(seed),
        bytes: made.to_der().as_bytes().to_vec(),
    }
}

pub(crate) fn signed(json: Json, seeds: &[u8]) -> Vec<u8> {
    let signatures: Vec<_> = seeds.iter().map(|seed| signature(&json, *seed)).collect();
    Signed::assemble(json, &signatures)
}

pub(crate) fn delegated(name: &str, seeds: &[u8], paths: &[&str]) -> DelegatedRole {
    DelegatedRole {
        name: name.to_owned(),
        keys: role(seeds, 1),
        terminating: true,
        scope: Scope::Paths(paths.iter().map(|path| (*path).to_owned()).collect()),
    }
}

/// Seeds of the keys: root 1, 2, 3 of which two sign; timestamp 4; snapshot 5; targets 6; the
/// delegated roles 7 and 8.
#[derive(Clone)]
pub(crate) struct Repository {
    pub(crate) root: Root,
    pub(crate) timestamp: Timestamp,
    pub(crate) snapshot: Snapshot,
    pub(crate) targets: BTreeMap<String, Targets>,
    pub(crate) signers: BTreeMap<String, Vec<u8>>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

pub(crate) fn targets_of(files: &[(&str, &[u8])]) -> Targets {
    let file = |(path, bytes): &(&str, &[u8])| ((*path).to_owned(), TargetFile::of(bytes));
    Targets {
        head: Head::new(1, LATER),
        targets: files.iter().map(file).collect(),
        delegations: None,
    }
}

impl Repository {
    pub(crate) fn new() -> Repository {
        let roles = [
            ("root", role(&[1, 2, 3], 2)),
            ("timestamp", role(&[4], 1)),
            ("snapshot", role(&[5], 1)),
            ("targets", role(&[6], 1)),
        ];
        let root = Root {
            head: Head::new(1, LATER),
            consistent_snapshot: true,
            keys: (1..=6).map(|seed| (keyid(seed), key(seed))).collect(),
            roles: roles.map(|(name, role)| (name.to_owned(), role)).into(),
        };
        let mut top = targets_of(&[("trust-bundle.cbor", b"bundle")]);
        top.delegations = Some(Delegations {
            keys: [7, 8].map(|seed| (keyid(seed), key(seed))).into(),
            roles: vec![
                delegated("denylist", &[7], &["denylist/*"]),
                delegated("fares", &[8], &["fares/*"]),
            ],
        });
        let targets = [
            ("targets", top),
            ("denylist", targets_of(&[("denylist/a", b"list")])),
            ("fares", targets_of(&[("fares/a", b"pack")])),
        ];
        let signers: [(&str, &[u8]); 6] = [
            ("root", &[1, 2]),
            ("timestamp", &[4]),
            ("snapshot", &[5]),
            ("targets", &[6]),
            ("denylist", &[7]),
            ("fares", &[8]),
        ];
        let mut repository = Repository {
            root,
            timestamp: Timestamp {
                head: Head::new(1, LATER),
                snapshot: Meta {
                    version: 1,
                    length: None,
                    hashes: None,
                },
                issued: Some(NOW),
            },
            snapshot: Snapshot {
                head: Head::new(1, LATER),
                meta: BTreeMap::new(),
            },
            targets: targets.map(|(name, role)| (name.to_owned(), role)).into(),
            signers: signers
                .map(|(name, seeds)| (name.to_owned(), seeds.to_vec()))
                .into(),
            files: BTreeMap::new(),
        };
        repository.publish_root();
        repository.publish();
        repository
    }

    pub(crate) fn sign(&self, role: &str, json: Json) -> Vec<u8> {
        signed(json, &self.signers[role])
    }

    pub(crate) fn publish_root(&mut self) {
        let bytes = self.sign("root", self.root.to_json());
        let name = format!("{}.root.json", self.root.head.version);
        self.files.insert(name, bytes);
    }

    /// The next root, changed by `bend`, signed by `seeds`.
    pub(crate) fn rotate(&mut self, seeds: &[u8], bend: impl FnOnce(&mut Root)) {
        self.root.head.version += 1;
        bend(&mut self.root);
        let bytes = signed(self.root.to_json(), seeds);
        let name = format!("{}.root.json", self.root.head.version);
        self.files.insert(name, bytes);
    }

    /// Signs all targets roles, a snapshot of them and a timestamp, as they stand.
    pub(crate) fn publish(&mut self) {
        for (name, targets) in self.targets.clone() {
            let bytes = self.sign(&name, targets.to_json());
            let meta = Meta::of(targets.head.version, &bytes);
            self.snapshot.meta.insert(format!("{name}.json"), meta);
            let file = format!("{}.{name}.json", targets.head.version);
            self.files.insert(file, bytes);
        }
        self.publish_snapshot();
    }

    pub(crate) fn publish_snapshot(&mut self) {
        let bytes = self.sign("snapshot", self.snapshot.to_json());
        let version = self.snapshot.head.version;
        self.timestamp.snapshot = Meta::of(version, &bytes);
        self.files.insert(format!("{version}.snapshot.json"), bytes);
        self.publish_timestamp();
    }

    pub(crate) fn publish_timestamp(&mut self) {
        let bytes = self.sign("timestamp", self.timestamp.to_json());
        self.files.insert("timestamp.json".to_owned(), bytes);
    }

    /// One version more of everything below the root.
    pub(crate) fn next(&mut self) {
        for targets in self.targets.values_mut() {
            targets.head.version += 1;
        }
        self.snapshot.head.version += 1;
        self.timestamp.head.version += 1;
        self.publish();
    }
}

/// What a terminal keeps.
#[derive(Clone, Default)]
pub(crate) struct Medium {
    pub(crate) stored: Stored,
    /// What was asked of the repository in the last update.
    pub(crate) asked: Vec<String>,
}

pub(crate) type Updated = Result<Client<P256>, Refused>;

impl Medium {
    pub(crate) fn new(repository: &Repository) -> Medium {
        let stored = Stored {
            root: repository.files["1.root.json"].clone(),
            roles: BTreeMap::new(),
        };
        let asked = Vec::new();
        Medium { stored, asked }
    }

    pub(crate) fn update(&mut self, repository: &Repository) -> Updated {
        self.update_at(repository, NOW)
    }

    pub(crate) fn update_at(&mut self, repository: &Repository, now: UnixTime) -> Updated {
        self.asked.clear();
        let mut client = Client::start(self.stored.clone(), now, Limits::TERMINAL, P256)?;
        self.drive(&mut client, repository)?;
        for role in ["denylist", "fares"] {
            let changes = client.load(role)?;
            self.apply(changes);
            self.drive(&mut client, repository)?;
        }
        Ok(client)
    }

    pub(crate) fn drive(
        &mut self,
        client: &mut Client<P256>,
        repository: &Repository,
    ) -> Result<(), Refused> {
        while let Some(fetch) = client.wanted() {
            self.asked.push(fetch.name.clone());
            let fetched = match repository.files.get(&fetch.name) {
                Some(bytes) => Fetched::Bytes(bytes),
                None => Fetched::Absent,
            };
            let changes = client.supply(fetched)?;
            self.apply(changes);
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Store { role, bytes } if role == "root" => self.stored.root = bytes,
                Change::Store { role, bytes } => {
                    self.stored.roles.insert(role, bytes);
                }
                Change::Forget { role } => {
                    self.stored.roles.remove(&role);
                }
            }
        }
    }

    pub(crate) fn version(&self, role: &str) -> Option<u32> {
        let bytes = self.stored.roles.get(role)?;
        let signed = Signed::parse(bytes, 1 << 20).unwrap();
        match signed.unverified().member("version") {
            Some(Json::Whole(version)) => u32::try_from(*version).ok(),
            _ => None,
        }
    }
}
