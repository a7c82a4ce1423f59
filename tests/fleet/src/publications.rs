//! What the real publisher has published, and when.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obol_credential::{Kid, UnixTime};
use obol_issuer::DeniedIndexes;
use obol_issuer::publisher::{Inputs, Outcome, TIMESTAMP_RENEW_S};
use obol_trust::TrustBundle;

use crate::issuing::Issuing;
use crate::officers::{DAY, House, NOW, SIZE};
use crate::simulation::{ENDS_S, RIDER_REVOKED_S, SHARD_SUSPENDED_S};

/// The riders' index that is revoked.
pub(crate) const REVOKED: u32 = 7;
/// From the command until the repository has it: the publisher looks each second, then signs.
const COMMAND_TO_REPOSITORY_S: u32 = 2;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The repository from one publication to the next.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) at_ms: u64,
    pub(crate) timestamp: u32,
    pub(crate) metadata: Files,
    pub(crate) targets: Files,
}

/// One after the other, in the order of time.
#[derive(Debug)]
pub(crate) struct Publications(Vec<Publication>);

/// A repository in the course of time, the key that its bundle names, and the root that terminals
/// begin with.
pub(crate) struct Published {
    pub(crate) publications: Publications,
    pub(crate) issuing: Issuing,
    pub(crate) kid: Kid,
    pub(crate) root: Vec<u8>,
}

impl Published {
    pub(crate) fn make() -> Published {
        let issuing = Issuing::new();
        let kid = issuing.kid();
        let house = House::new();
        let bundle = issuing.bundle(NOW, |_| {});
        let entries = TrustBundle::decode(&bundle).unwrap().entries().to_vec();
        let bundle = TrustBundle::new(NOW, NOW.plus(30 * DAY), entries).unwrap();
        let bundle = bundle.encode();
        house.lay("files/trust-bundle.cbor", &bundle);
        house.sign_targets("targets", 1, 30 * DAY, &bundle);
        let root = fs::read(house.offline().join("root/1.root.json")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let all = runtime.unwrap().block_on(publish_all(&house, kid));
        Published {
            publications: Publications(all),
            issuing,
            kid,
            root,
        }
    }
}

impl Publications {
    /// A repository that does not change.
    #[cfg(test)]
    pub(crate) fn only(publication: Publication) -> Publications {
        Publications(vec![publication])
    }

    /// The repository as it stands at a moment.
    pub(crate) fn at(&self, now_ms: u64) -> &Publication {
        let published = self.0.iter().rev();
        let mut published = published.skip_while(|one| one.at_ms > now_ms);
        published.next().unwrap_or(&self.0[0])
    }

    pub(crate) fn newest(&self) -> u32 {
        self.0.last().unwrap().timestamp
    }
}

impl Publication {
    /// What the publisher's folder holds now.
    pub(crate) fn read(house: &House, at_ms: u64, timestamp: u32) -> Publication {
        let mut publication = Publication {
            at_ms,
            timestamp,
            metadata: Files::new(),
            targets: Files::new(),
        };
        let folder = house.repository();
        read(&folder.join("metadata"), "", &mut publication.metadata);
        read(&folder.join("targets"), "", &mut publication.targets);
        publication
    }
}

async fn publish_all(house: &House, kid: Kid) -> Vec<Publication> {
    let mut publisher = house.publisher();
    let commands = [RIDER_REVOKED_S, SHARD_SUSPENDED_S].map(|at| at + COMMAND_TO_REPOSITORY_S);
    let renewals = (0..ENDS_S).step_by(TIMESTAMP_RENEW_S as usize);
    let mut moments: Vec<u32> = renewals.chain(commands).collect();
    moments.sort_unstable();
    let mut all = Vec::new();
    for second in moments {
        let now = NOW.plus(second);
        let published = publisher.publish(&inputs(kid, second, now), now).await;
        if let Outcome::Published(timestamp) = published.unwrap() {
            let at_ms = u64::from(second) * 1_000;
            all.push(Publication::read(house, at_ms, timestamp));
        }
    }
    all
}

fn inputs(kid: Kid, second: u32, now: UnixTime) -> Inputs {
    let denied = DeniedIndexes {
        kid,
        epoch: NOW.0 / DAY,
        indexes: if second > RIDER_REVOKED_S {
            vec![REVOKED]
        } else {
            Vec::new()
        },
    };
    let inputs = Inputs::new(&[kid], SIZE, vec![denied], now);
    inputs.suspending((second > SHARD_SUSPENDED_S).then_some(kid))
}

fn read(folder: &Path, before: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{before}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}
