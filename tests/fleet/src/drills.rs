//! What operators drill, with the real publisher in one process all along, and the real updater.

use std::fs;

use obol_credential::{Kid, UnixTime};
use obol_issuer::publisher::{Inputs, Outcome, Publisher};
use obol_pos_sdk::tuf::{Key, Limits, P256, TargetFile};
use obol_pos_sdk::{AcceptedSet, TrustUpdater};
use obol_trust::{Entry, TrustBundle};

use crate::chance::Chance;
use crate::issuing::Issuing;
use crate::link::{Link, Lost, Quality};
use crate::officers::{DAY, House, NEXT_SEEDS, NOW, SIZE, Software, role, signer};
use crate::publications::{Publication, Publications};
use crate::terminal::Memory;

/// Roots, targets and bundles are laid down as officers do it; the publisher is never restarted.
struct Drill {
    house: House,
    publisher: Publisher<Software>,
    issuing: Issuing,
    root: Vec<u8>,
    kids: Vec<Kid>,
    suspended: Vec<Kid>,
    now: UnixTime,
    emergencies: u32,
    /// Seeds of the keys that targets name for deny list and fares.
    delegates: [u8; 2],
}

type Terminal = TrustUpdater<Memory, P256>;

impl Drill {
    fn new() -> Drill {
        let (issuing, house) = (Issuing::new(), House::new());
        let root = fs::read(house.offline().join("root/1.root.json")).unwrap();
        let mut drill = Drill {
            publisher: house.publisher(),
            house,
            root,
            kids: Vec::new(),
            suspended: Vec::new(),
            now: NOW,
            emergencies: 0,
            delegates: [7, 8],
            issuing,
        };
        let first = drill.issuing.next_shard();
        drill.lay_bundle(&[&first]);
        drill.issuing = first;
        drill
    }

    fn terminal(&self) -> Terminal {
        let mut updater = TrustUpdater::new(Memory::default(), Limits::TERMINAL, P256);
        updater.initialise::<Lost>(&self.root).unwrap();
        updater
    }

    /// Officers sign a bundle of these shards and lay it where the publisher looks.
    fn lay_bundle(&mut self, shards: &[&Issuing]) {
        self.emergencies += 1;
        let version = 1_000 + self.emergencies;
        let mut bundles: Vec<_> = shards
            .iter()
            .map(|shard| shard.bundle(self.now, |_| {}))
            .collect();
        bundles.sort_by_key(|bundle| TrustBundle::decode(bundle).unwrap().entries()[0].kid.0);
        let entries = bundles
            .iter()
            .map(|bundle| -> Entry<'_> { TrustBundle::decode(bundle).unwrap().entries()[0] });
        let bundle = TrustBundle::new(self.now, self.now.plus(20 * DAY), entries.collect());
        let bundle = bundle.unwrap().encode();
        let hash = TargetFile::of(&bundle).hashes.prefix();
        self.house.lay(&format!("files/{hash}"), &bundle);
        self.house
            .sign_targets_for(self.delegates, "emergency", version, 60 * DAY, &bundle);
        self.kids = shards.iter().map(|shard| shard.kid()).collect();
    }

    async fn publish(&mut self) -> Outcome {
        let inputs = Inputs::new(&self.kids, SIZE, Vec::new(), self.now);
        let inputs = inputs.suspending(self.suspended.iter().copied());
        self.publisher.publish(&inputs, self.now).await.unwrap()
    }

    /// One update over a good link, from the repository as it is now.
    fn update(&self, terminal: &mut Terminal) -> AcceptedSet {
        let publication = Publication::read(&self.house, 0, 0);
        let publications = Publications::only(publication);
        let mut link = Link {
            publications: &publications,
            quality: Quality::Good,
            ranges: true,
            now_ms: 0,
            chance: &mut Chance::of(1, 1),
        };
        terminal
            .update(&mut link, self.now, &self.issuing.root)
            .unwrap()
    }
}

/// `Trusted`, `Suspended`, or nothing when the terminal has not heard of the key.
fn status(set: &AcceptedSet, kid: Kid) -> String {
    let key = set.state.keys().iter().find(|key| key.kid() == kid);
    key.map_or_else(String::new, |key| format!("{:?}", key.status))
}

#[tokio::test]
async fn the_next_shard_is_known_before_its_use_and_takes_over_from_a_compromised_one() {
    let mut drill = Drill::new();
    let mut terminal = drill.terminal();
    let (old, next) = (drill.issuing.kid(), drill.issuing.next_shard());
    drill.publish().await;
    let set = drill.update(&mut terminal);
    let good = status(&set, old);
    assert_eq!(
        (good.as_str(), status(&set, next.kid()).as_str()),
        ("Trusted", "")
    );

    // Published before use: the terminal knows it at its next refresh.
    drill.now = drill.now.plus(60);
    let first = drill.issuing.next_shard();
    let current = std::mem::replace(&mut drill.issuing, first);
    drill.lay_bundle(&[&current, &next]);
    drill.publish().await;
    let set = drill.update(&mut terminal);
    assert_eq!(
        [status(&set, old), status(&set, next.kid())],
        [good.clone(), good.clone()]
    );

    // The old one is in other hands: blocked at the next refresh, and known to be blocked.
    drill.now = drill.now.plus(60);
    drill.suspended = vec![old];
    drill.publish().await;
    let set = drill.update(&mut terminal);
    assert_eq!(
        [status(&set, old), status(&set, next.kid())],
        ["Suspended".to_owned(), good]
    );
}

#[tokio::test]
async fn officers_are_replaced_and_a_terminal_that_slept_through_all_of_it_follows() {
    let mut drill = Drill::new();
    let (mut awake, mut asleep) = (drill.terminal(), drill.terminal());
    drill.publish().await;
    drill.update(&mut awake);
    drill.update(&mut asleep);
    // One officer after the other gives their key to a successor.
    let mut officers = vec![1, 2, 3];
    for successor in [21, 22, 23] {
        let signers = [officers[1], officers[2]];
        officers = vec![officers[1], officers[2], successor];
        let key = Key::p256(signer(successor).verifying_key());
        drill.house.rotate(&signers, |root| {
            root.keys.insert(key.id().0, key);
            root.roles.insert("root".to_owned(), role(&officers, 2));
        });
        drill.now = drill.now.plus(60);
        drill.publish().await;
        drill.update(&mut awake);
    }
    let set = drill.update(&mut asleep);
    assert_eq!(set.version, drill.update(&mut awake).version);
}

#[tokio::test]
async fn the_online_keys_are_replaced_and_neither_publisher_nor_terminal_restarts() {
    let mut drill = Drill::new();
    let (mut awake, mut asleep) = (drill.terminal(), drill.terminal());
    drill.publish().await;
    drill.update(&mut awake);
    drill.update(&mut asleep);
    // Timestamp and snapshot by the next root, deny list and fares by the targets behind it.
    drill.now = drill.now.plus(60);
    drill.house.rotate_online(&[1, 2]);
    drill.publish().await;
    let between = drill.update(&mut awake).version;
    drill.now = drill.now.plus(60);
    drill.delegates = [NEXT_SEEDS[2], NEXT_SEEDS[3]];
    let (current, next) = (drill.issuing.next_shard(), drill.issuing.next_shard());
    let current = std::mem::replace(&mut drill.issuing, current);
    drill.lay_bundle(&[&current, &next]);
    // What the new keys sign is believed: a key that is blocked from then on is.
    drill.suspended = vec![current.kid()];
    drill.publish().await;
    for terminal in [&mut awake, &mut asleep] {
        let set = drill.update(terminal);
        assert!(set.version > between);
        assert_eq!(status(&set, current.kid()), "Suspended");
    }
    // Whoever has the old keys cannot publish any more.
    let mut thief = drill.house.publisher_holding([4, 5, 7, 8], &[]);
    drill.now = drill.now.plus(60);
    let inputs = Inputs::new(&drill.kids, SIZE, Vec::new(), drill.now);
    let refused = thief.publish(&inputs, drill.now).await.unwrap_err();
    let expected = "the officers' root lets no key that is active here sign for timestamp alone";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn a_repository_that_is_lost_stands_again_at_the_next_look_of_the_running_publisher() {
    let mut drill = Drill::new();
    let mut terminal = drill.terminal();
    drill.publish().await;
    let before = drill.update(&mut terminal).version;
    fs::remove_dir_all(drill.house.repository()).unwrap();
    drill.now = drill.now.plus(1);
    assert_eq!(drill.publish().await, Outcome::UpToDate);
    assert_eq!(drill.update(&mut terminal).version, before);
    let mut new = drill.terminal();
    assert_eq!(drill.update(&mut new).version, before);
}

#[tokio::test]
async fn a_repository_and_its_publisher_that_are_lost_go_on_above_what_terminals_have_seen() {
    let mut drill = Drill::new();
    let mut terminal = drill.terminal();
    for _ in 0..5 {
        drill.now = drill.now.plus(601);
        drill.publish().await;
    }
    let before = drill.update(&mut terminal).version;
    fs::remove_dir_all(drill.house.repository()).unwrap();
    // Another machine, from the officers' folder alone.
    drill.publisher = drill.house.publisher();
    drill.now = drill.now.plus(1);
    drill.publish().await;
    assert!(drill.update(&mut terminal).version > before);
}
