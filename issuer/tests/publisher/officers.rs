//! Officers with software keys, and the folders of one deployment.

#![allow(dead_code)] // each of the tests that share this needs a part of it

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use obol_credential::{Kid, UnixTime};
use obol_issuer::publisher::{
    Elected, Election, Inputs, OnlineKeys, OnlineRole, PublishError, Publisher, RoleSigner,
    SignFailed,
};
use obol_trust::json::Json;
use obol_trust::tuf::*;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{SigningKey, VerifyingKey};
use tempfile::TempDir;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const DAY: u32 = 86_400;
pub(crate) const SIZE: u32 = 1024;
pub(crate) const KID: Kid = Kid([0xab, 0, 0, 1]);
/// Keys that the key management has beside those of the roles: timestamp, snapshot, denylist, fares.
pub(crate) const NEXT_SEEDS: [u8; 4] = [24, 25, 27, 28];
pub(crate) const BUNDLE: &[u8] = b"the bundle of the first period";

pub(crate) struct Software {
    key: SigningKey,
    public: VerifyingKey,
    /// Other keys that this key management has.
    pub(crate) others: Vec<u8>,
    /// What a key management that is broken answers.
    pub(crate) broken: bool,
}

impl Software {
    pub(crate) fn new(seed: u8) -> Self {
        let key = signer(seed);
        let public = *key.verifying_key();
        Self {
            key,
            public,
            others: Vec::new(),
            broken: false,
        }
    }
}

impl RoleSigner for Software {
    fn key(&self) -> &VerifyingKey {
        &self.public
    }

    async fn sign(&self, role: OnlineRole, canonical: &[u8]) -> Result<[u8; 64], SignFailed> {
        // The key management reads what it signs: the canonical form has to be JSON of the role.
        let json = Json::parse(canonical, 1 << 20).unwrap();
        let of_role = match role {
            OnlineRole::Timestamp => Timestamp::read(&json).map(|_| ()),
            OnlineRole::Snapshot => Snapshot::read(&json).map(|_| ()),
            OnlineRole::Denylist | OnlineRole::Fares => Targets::read(&json).map(|_| ()),
        };
        of_role.unwrap();
        let signature: p256::ecdsa::Signature = self.key.sign(canonical);
        let mut raw: [u8; 64] = signature.to_bytes().into();
        if self.broken {
            raw[40] ^= 1;
        }
        Ok(raw)
    }

    async fn successor(
        &self,
        _: OnlineRole,
        named: &[VerifyingKey],
    ) -> Result<Option<Self>, SignFailed> {
        let mut others = self.others.iter().map(|seed| Software::new(*seed));
        Ok(others.find(|other| named.contains(&other.public)))
    }
}

pub(crate) fn signer(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn key(seed: u8) -> Key {
    Key::p256(signer(seed).verifying_key())
}

pub(crate) fn role(seeds: &[u8], threshold: u32) -> RoleKeys {
    RoleKeys {
        keyids: seeds.iter().map(|seed| key(*seed).id().0).collect(),
        threshold,
    }
}

pub(crate) fn signed(json: Json, seeds: &[u8]) -> Vec<u8> {
    let signatures: Vec<_> = seeds
        .iter()
        .map(|seed| {
            let made: p256::ecdsa::Signature = signer(*seed).sign(&json.canonical());
            Signature {
                keyid: key(*seed).id().0,
                bytes: made.to_der().as_bytes().to_vec(),
            }
        })
        .collect();
    Signed::assemble(json, &signatures)
}

fn keys(seeds: &[u8]) -> BTreeMap<String, Key> {
    let of = |seed: &u8| (key(*seed).id().0, key(*seed));
    seeds.iter().map(of).collect()
}

/// Seeds: officers 1, 2, 3; timestamp 4, snapshot 5, targets 6, denylist 7, fares 8.
pub(crate) struct House {
    pub(crate) folder: TempDir,
    pub(crate) root: Root,
}

impl House {
    pub(crate) fn new() -> Self {
        let roles = [
            ("root", role(&[1, 2, 3], 2)),
            ("timestamp", role(&[4], 1)),
            ("snapshot", role(&[5], 1)),
            ("targets", role(&[6], 1)),
        ];
        let root = Root {
            head: Head::new(1, NOW.plus(365 * DAY)),
            consistent_snapshot: true,
            keys: keys(&[1, 2, 3, 4, 5, 6]),
            roles: roles.map(|(name, role)| (name.to_owned(), role)).into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let house = Self { folder, root };
        house.lay("root/1.root.json", &signed(house.root.to_json(), &[1, 2]));
        house.lay("files/trust-bundle.cbor", BUNDLE);
        house.sign_targets("targets", 1, 30 * DAY, BUNDLE);
        house
    }

    pub(crate) fn offline(&self) -> PathBuf {
        self.folder.path().join("offline")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub(crate) fn lay(&self, name: &str, bytes: &[u8]) {
        let path = self.offline().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn rotate(&mut self, signers: &[u8], bend: impl FnOnce(&mut Root)) {
        self.root.head.version += 1;
        bend(&mut self.root);
        let name = format!("root/{}.root.json", self.root.head.version);
        self.lay(&name, &signed(self.root.to_json(), signers));
    }

    /// The next root, in which timestamp and snapshot have their next keys.
    pub(crate) fn rotate_online(&mut self, signers: &[u8]) {
        let [timestamp, snapshot, ..] = NEXT_SEEDS;
        self.rotate(signers, |root| {
            for (name, seed) in [("timestamp", timestamp), ("snapshot", snapshot)] {
                let old = root.roles.insert(name.to_owned(), role(&[seed], 1));
                for id in old.unwrap().keyids {
                    root.keys.remove(&id);
                }
                root.keys.extend(keys(&[seed]));
            }
        });
    }

    pub(crate) fn sign_targets(&self, folder: &str, version: u32, life_s: u32, bundle: &[u8]) {
        self.sign_targets_for([7, 8], folder, version, life_s, bundle);
    }

    /// For these keys of deny list and fares.
    pub(crate) fn sign_targets_for(
        &self,
        [denylist, fares]: [u8; 2],
        folder: &str,
        version: u32,
        life_s: u32,
        bundle: &[u8],
    ) {
        let delegated = |name: &str, seed, pattern: &str| DelegatedRole {
            name: name.to_owned(),
            keys: role(&[seed], 1),
            terminating: true,
            scope: Scope::Paths(vec![pattern.to_owned()]),
        };
        let bundle = ("trust-bundle.cbor".to_owned(), TargetFile::of(bundle));
        let targets = Targets {
            head: Head::new(version, NOW.plus(life_s)),
            targets: [bundle].into(),
            delegations: Some(Delegations {
                keys: keys(&[denylist, fares]),
                roles: vec![
                    delegated("denylist", denylist, "denylist/*"),
                    delegated("fares", fares, "fares/*"),
                ],
            }),
        };
        let name = format!("{folder}/{version}.targets.json");
        self.lay(&name, &signed(targets.to_json(), &[6]));
    }

    pub(crate) fn publisher(&self) -> Publisher<Software> {
        self.publisher_with([4, 5, 7, 8]).unwrap()
    }

    pub(crate) fn publisher_with(
        &self,
        seeds: [u8; 4],
    ) -> Result<Publisher<Software>, PublishError> {
        let (elected, keys) = self.elected(seeds);
        Publisher::new(&elected, &self.repository(), self.offline(), keys)
    }

    /// One whose key management has these keys for the roles, and those beside them.
    pub(crate) fn publisher_holding(&self, seeds: [u8; 4], others: &[u8]) -> Publisher<Software> {
        let (elected, mut keys) = self.elected(seeds);
        for key in [
            &mut keys.timestamp,
            &mut keys.snapshot,
            &mut keys.denylist,
            &mut keys.fares,
        ] {
            key.others = others.to_vec();
        }
        Publisher::new(&elected, &self.repository(), self.offline(), keys).unwrap()
    }

    /// The lock, to be dropped again: each test shows what a next publisher does, after the first
    /// has gone.
    pub(crate) fn elected(&self, seeds: [u8; 4]) -> (Elected, OnlineKeys<Software>) {
        let elected = Election::new(self.folder.path()).stand().unwrap().unwrap();
        let [timestamp, snapshot, denylist, fares] = seeds.map(|seed| Software {
            others: NEXT_SEEDS.to_vec(),
            ..Software::new(seed)
        });
        let keys = OnlineKeys {
            timestamp,
            snapshot,
            denylist,
            fares,
        };
        (elected, keys)
    }

    /// Follows the repository as a terminal does.
    pub(crate) fn follow(
        &self,
        stored: &mut Stored,
        now: UnixTime,
    ) -> Result<Client<P256>, Refused> {
        let folder = self.repository().join("metadata");
        self.follow_from(stored, now, |name| fs::read(folder.join(name)).ok())
    }

    /// As [`House::follow`], where the metadata lies elsewhere.
    pub(crate) fn follow_from(
        &self,
        stored: &mut Stored,
        now: UnixTime,
        metadata: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Client<P256>, Refused> {
        if stored.root.is_empty() {
            stored.root = fs::read(self.offline().join("root/1.root.json")).unwrap();
        }
        let mut client = Client::start(stored.clone(), now, Limits::TERMINAL, P256)?;
        drive(&mut client, stored, &metadata)?;
        for role in ["denylist", "fares"] {
            apply(stored, client.load(role)?);
            drive(&mut client, stored, &metadata)?;
        }
        Ok(client)
    }
}

fn drive(
    client: &mut Client<P256>,
    stored: &mut Stored,
    metadata: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<(), Refused> {
    while let Some(wanted) = client.wanted() {
        let changes = match metadata(&wanted.name) {
            Some(bytes) => client.supply(Fetched::Bytes(&bytes))?,
            None => client.supply(Fetched::Absent)?,
        };
        apply(stored, changes);
    }
    Ok(())
}

fn apply(stored: &mut Stored, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Store { role, bytes } if role == "root" => stored.root = bytes,
            Change::Store { role, bytes } => {
                stored.roles.insert(role, bytes);
            }
            Change::Forget { role } => {
                stored.roles.remove(&role);
            }
        }
    }
}

pub(crate) fn inputs(denied: &[u32], now: UnixTime) -> Inputs {
    let list = obol_issuer::DeniedIndexes {
        kid: KID,
        epoch: now.0 / DAY,
        indexes: denied.to_vec(),
    };
    Inputs::new(&[KID], SIZE, vec![list], now)
}
