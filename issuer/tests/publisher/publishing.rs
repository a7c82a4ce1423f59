use std::fs;

use obol_credential::{Kid, UnixTime};
use obol_issuer::publisher::{
    Election, Inputs, KEEP_S, ONLINE_LIFE_S, OnlineRole, Outcome, PERIOD_OVERLAP_S, PublishError,
    ROLE_RENEW_S, TIMESTAMP_RENEW_S,
};
use obol_trust::tuf::*;
use obol_trust::{StatusList, SuspendedKeys};

use crate::officers::*;

fn list(house: &House, client: &Client<P256>, path: &str) -> Vec<u8> {
    let found = client.files_of("denylist");
    let found = found.iter().find(|file| file.path == path).unwrap();
    let bytes = fs::read(house.repository().join("targets").join(&found.location)).unwrap();
    assert!(found.file.fits(&bytes));
    bytes
}

fn today() -> String {
    format!("denylist/ab000001-{}.cbor", NOW.0 / DAY)
}

#[tokio::test]
async fn a_denied_index_is_in_the_list_of_its_key_and_day_and_unused_days_have_empty_ones() {
    let house = House::new();
    house
        .publisher()
        .publish(&inputs(&[3, 900], NOW), NOW)
        .await
        .unwrap();
    let client = house.follow(&mut Stored::default(), NOW).unwrap();
    let read = StatusList::decode(&list(&house, &client, &today())).unwrap();
    assert_eq!(
        (read.denies(3), read.denies(4), read.denied()),
        (Some(true), Some(false), 2)
    );
    // 3 days back, today, 5 ahead, and the suspended keys.
    assert_eq!(client.files_of("denylist").len(), 10);
    let ahead = format!("denylist/ab000001-{}.cbor", NOW.0 / DAY + 5);
    let read = StatusList::decode(&list(&house, &client, &ahead)).unwrap();
    assert_eq!((read.entries(), read.denied()), (SIZE as usize, 0));
    assert_eq!(client.timestamp().unwrap().issued, Some(NOW));
}

#[tokio::test]
async fn what_did_not_change_is_not_signed_again_until_it_has_to_be() {
    let house = House::new();
    let mut publisher = house.publisher();
    let same = inputs(&[], NOW);
    publisher.publish(&same, NOW).await.unwrap();
    let soon = NOW.plus(TIMESTAMP_RENEW_S - 1);
    assert_eq!(
        publisher.publish(&same, soon).await.unwrap(),
        Outcome::UpToDate
    );
    let mut stored = Stored::default();
    let first = house.follow(&mut stored, soon).unwrap();
    publisher.publish(&same, soon.plus(1)).await.unwrap();
    let second = house.follow(&mut stored, soon).unwrap();
    assert_eq!(first.snapshot(), second.snapshot());
    assert_eq!(second.timestamp().unwrap().issued, Some(soon.plus(1)));
    publisher
        .publish(&same, NOW.plus(ROLE_RENEW_S))
        .await
        .unwrap();
    let third = house.follow(&mut stored, soon).unwrap();
    let end = third.targets("denylist").unwrap().head.expires;
    assert_eq!(end, NOW.plus(ROLE_RENEW_S).plus(ONLINE_LIFE_S));
}

#[tokio::test]
async fn a_suspended_key_is_published() {
    let house = House::new();
    let inputs = inputs(&[], NOW).suspending([KID]);
    house.publisher().publish(&inputs, NOW).await.unwrap();
    let client = house.follow(&mut Stored::default(), NOW).unwrap();
    let bytes = list(&house, &client, "denylist/suspended.cbor");
    assert!(SuspendedKeys::decode(&bytes).unwrap().contains(KID));
}

#[tokio::test]
async fn a_terminal_in_the_middle_of_an_update_still_finds_the_files_of_its_set() {
    let house = House::new();
    let mut publisher = house.publisher();
    publisher.publish(&inputs(&[1], NOW), NOW).await.unwrap();
    let old = house.follow(&mut Stored::default(), NOW).unwrap();
    publisher
        .publish(&inputs(&[1, 2], NOW), NOW.plus(1))
        .await
        .unwrap();
    assert_eq!(
        StatusList::decode(&list(&house, &old, &today()))
            .unwrap()
            .denied(),
        1
    );
    // And not for ever.
    let later = NOW.plus(KEEP_S + 2);
    publisher
        .publish(&inputs(&[1, 2], NOW), later)
        .await
        .unwrap();
    let found = old.files_of("denylist");
    let location = &found
        .iter()
        .find(|file| file.path == today())
        .unwrap()
        .location;
    assert!(!house.repository().join("targets").join(location).exists());
    house.follow(&mut Stored::default(), later).unwrap();
}

#[tokio::test]
async fn a_next_publisher_goes_on_where_the_first_stopped() {
    let house = House::new();
    let mut stored = Stored::default();
    house
        .publisher()
        .publish(&inputs(&[1], NOW), NOW)
        .await
        .unwrap();
    house.follow(&mut stored, NOW).unwrap();
    let mut next = house.publisher();
    assert_eq!(
        next.publish(&inputs(&[1], NOW), NOW).await.unwrap(),
        Outcome::UpToDate
    );
    // Even with a clock that is behind.
    let behind = UnixTime(NOW.0 - 500);
    next.publish(&inputs(&[1, 2], NOW), behind).await.unwrap();
    let client = house.follow(&mut stored, NOW).unwrap();
    assert_eq!(client.timestamp().unwrap().issued, Some(NOW));
}

#[tokio::test]
async fn a_repository_that_was_lost_is_rebuilt_above_what_terminals_have_seen() {
    let house = House::new();
    let mut stored = Stored::default();
    let mut publisher = house.publisher();
    for second in 0..3 {
        let denied = inputs(&[second], NOW);
        publisher.publish(&denied, NOW.plus(second)).await.unwrap();
        house.follow(&mut stored, NOW.plus(second)).unwrap();
    }
    drop(publisher);
    fs::remove_dir_all(house.repository()).unwrap();
    let later = NOW.plus(60);
    house
        .publisher()
        .publish(&inputs(&[9], NOW), later)
        .await
        .unwrap();
    house.follow(&mut stored, later).unwrap();
}

#[tokio::test]
async fn the_next_periods_targets_are_published_before_this_ones_end() {
    let house = House::new();
    house.sign_targets("targets", 2, 60 * DAY, BUNDLE);
    house.sign_targets("targets", 3, 90 * DAY, BUNDLE);
    let mut publisher = house.publisher();
    let turn = NOW.plus(30 * DAY - PERIOD_OVERLAP_S);
    let mut version = async |now: UnixTime| {
        publisher.publish(&inputs(&[], now), now).await.unwrap();
        let client = house.follow(&mut Stored::default(), now).unwrap();
        client.targets("targets").unwrap().head.version
    };
    assert_eq!(version(UnixTime(turn.0 - 1)).await, 1);
    assert_eq!(version(turn).await, 2);
    assert_eq!(version(NOW.plus(59 * DAY)).await, 3);
}

#[tokio::test]
async fn an_emergency_jumps_past_all_that_was_signed_in_advance() {
    let house = House::new();
    house.sign_targets("targets", 2, 60 * DAY, BUNDLE);
    let mut publisher = house.publisher();
    let mut stored = Stored::default();
    publisher.publish(&inputs(&[], NOW), NOW).await.unwrap();
    house.follow(&mut stored, NOW).unwrap();
    let other = b"a bundle without the stolen key";
    house.lay(
        &format!("files/{}", TargetFile::of(other).hashes.prefix()),
        other,
    );
    house.sign_targets("emergency", 1000, 60 * DAY, other);
    publisher
        .publish(&inputs(&[], NOW), NOW.plus(1))
        .await
        .unwrap();
    let client = house.follow(&mut stored, NOW).unwrap();
    assert_eq!(client.targets("targets").unwrap().head.version, 1000);
    // The period that begins later does not turn it back.
    let later = NOW.plus(29 * DAY);
    publisher.publish(&inputs(&[], later), later).await.unwrap();
    let client = house.follow(&mut stored, later).unwrap();
    assert_eq!(client.targets("targets").unwrap().head.version, 1000);
}

#[tokio::test]
async fn a_root_that_the_officers_rotate_reaches_terminals_without_a_restart() {
    let mut house = House::new();
    let mut publisher = house.publisher();
    let mut stored = Stored::default();
    publisher.publish(&inputs(&[], NOW), NOW).await.unwrap();
    house.follow(&mut stored, NOW).unwrap();
    let fresh = role(&[1, 3, 9], 2);
    house.rotate(&[1, 2, 9], |root| {
        let key = Key::p256(signer(9).verifying_key());
        root.keys.insert(key.id().0, key);
        root.keys
            .remove(&Key::p256(signer(2).verifying_key()).id().0);
        root.roles.insert("root".to_owned(), fresh);
    });
    publisher
        .publish(&inputs(&[], NOW), NOW.plus(1))
        .await
        .unwrap();
    let client = house.follow(&mut stored, NOW).unwrap();
    assert_eq!(client.root().head.version, 2);
}

#[tokio::test]
async fn a_key_that_the_officers_did_not_name_publishes_nothing() {
    for (seeds, role) in [
        ([14, 5, 7, 8], OnlineRole::Timestamp),
        ([4, 15, 7, 8], OnlineRole::Snapshot),
        ([4, 5, 17, 8], OnlineRole::Denylist),
        ([4, 5, 7, 18], OnlineRole::Fares),
    ] {
        let house = House::new();
        let mut publisher = house.publisher_with(seeds).unwrap();
        let refused = publisher.publish(&inputs(&[], NOW), NOW).await.unwrap_err();
        let PublishError::NotOurKey { role: found, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!(found, role);
        assert!(!house.repository().join("metadata/timestamp.json").exists());
    }
}

/// Who signed a role's newest file.
fn signers(house: &House, name: &str) -> Vec<String> {
    let bytes = fs::read(house.repository().join("metadata").join(name)).unwrap();
    let signed = Signed::parse(&bytes, 1 << 20).unwrap();
    let signatures = signed.signatures().iter();
    signatures.map(|one| one.keyid.clone()).collect()
}

#[tokio::test]
async fn keys_that_the_officers_named_in_the_place_of_others_sign_from_then_on() {
    let mut house = House::new();
    let mut publisher = house.publisher();
    let mut stored = Stored::default();
    publisher.publish(&inputs(&[1], NOW), NOW).await.unwrap();
    let before = house.follow(&mut stored, NOW).unwrap();
    let [timestamp, snapshot, denylist, fares] = NEXT_SEEDS.map(|seed| role(&[seed], 1).keyids);
    let newest = |client: &Client<P256>, role: &str| match role {
        "snapshot" => client.snapshot().unwrap().head.version,
        role => client.targets(role).unwrap().head.version,
    };

    // Root and targets need not come at once: each role follows the document that names its key.
    house.rotate_online(&[1, 3]);
    let soon = NOW.plus(1);
    let turned = publisher.publish(&inputs(&[1], NOW), soon).await.unwrap();
    assert!(matches!(turned, Outcome::Published(_)), "{turned:?}");
    let client = house.follow(&mut stored, soon).unwrap();
    assert_eq!(signers(&house, "timestamp.json"), timestamp);
    let name = format!("{}.snapshot.json", newest(&client, "snapshot"));
    assert_eq!(signers(&house, &name), snapshot);
    assert_eq!(newest(&client, "denylist"), newest(&before, "denylist"));

    house.sign_targets_for([27, 28], "emergency", 1_000, 60 * DAY, BUNDLE);
    let later = NOW.plus(2);
    publisher.publish(&inputs(&[1], NOW), later).await.unwrap();
    let client = house.follow(&mut stored, later).unwrap();
    for (role, keyids) in [("denylist", denylist), ("fares", fares)] {
        assert!(newest(&client, role) > newest(&before, role));
        let name = format!("{}.{role}.json", newest(&client, role));
        assert_eq!(signers(&house, &name), keyids);
    }
    // It is done once: nothing is signed again by the keys that signed it.
    let same = publisher.publish(&inputs(&[1], NOW), NOW.plus(3)).await;
    assert_eq!(same.unwrap(), Outcome::UpToDate);
    // And the next publisher, which still begins with the old keys, goes on with the new ones.
    let mut next = house.publisher();
    let denied = inputs(&[1, 2], NOW);
    next.publish(&denied, NOW.plus(4)).await.unwrap();
    house.follow(&mut stored, NOW.plus(4)).unwrap();
    house.follow(&mut Stored::default(), NOW.plus(4)).unwrap();
    assert_eq!(signers(&house, "timestamp.json"), timestamp);
}

#[tokio::test]
async fn targets_that_were_not_signed_or_changed_since_are_not_published() {
    let house = House::new();
    let path = house.offline().join("targets/1.targets.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"threshold\":1", "\"threshold\":2")).unwrap();
    let refused = house
        .publisher()
        .publish(&inputs(&[], NOW), NOW)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("is not used: 0 of the role's keys"),
        "{refused}"
    );
    fs::write(&path, text).unwrap();
    house.lay("files/trust-bundle.cbor", b"another bundle");
    let refused = house
        .publisher()
        .publish(&inputs(&[], NOW), NOW)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("is not the trust-bundle.cbor"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_index_beyond_the_list_publishes_nothing() {
    let house = House::new();
    let refused = house
        .publisher()
        .publish(&inputs(&[SIZE], NOW), NOW)
        .await
        .unwrap_err();
    let expected = "index 1024 of key ab000001 is beyond a list of 1024 entries";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn what_is_no_fare_pack_is_refused_when_it_is_handed_in() {
    for operator in ["metro", "../metro"] {
        let refused = inputs(&[], NOW).with_fares(operator, b"no pack".to_vec());
        let said = refused.unwrap_err().to_string();
        assert!(said.starts_with("the fare pack of operator"), "{said}");
    }
}

#[test]
fn one_publisher_is_elected_and_another_takes_over_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let election = Election::new(folder.path());
    let first = election.stand().unwrap().unwrap();
    assert!(election.stand().unwrap().is_none());
    drop(first);
    assert!(election.stand().unwrap().is_some());
}

#[tokio::test]
async fn a_revocation_costs_the_making_of_its_own_list_and_of_no_other() {
    const FULL: u32 = 1 << 20;
    let house = House::new();
    let mut publisher = house.publisher();
    let kids: Vec<_> = (1..=8).map(|shard| Kid([shard; 4])).collect();
    // Half of a list is in use, and of that one in a hundred is denied.
    let denied = |more: &[u32]| {
        let lists = kids.iter().enumerate().map(|(at, kid)| {
            let mut indexes: Vec<u32> = (0..5_243).map(|number| number * 199).collect();
            if at == 3 {
                indexes.extend(more);
            }
            let (kid, epoch) = (*kid, NOW.0 / DAY);
            obol_issuer::DeniedIndexes {
                kid,
                epoch,
                indexes,
            }
        });
        Inputs::new(&kids, FULL, lists.collect(), NOW)
    };
    publisher.publish(&denied(&[]), NOW).await.unwrap();
    // One for nobody, which all unused days share, and one for each shard's today.
    assert_eq!(publisher.lists_made(), 9);
    let begun = std::time::Instant::now();
    publisher.publish(&denied(&[]), NOW.plus(1)).await.unwrap();
    let same = begun.elapsed();
    assert_eq!(publisher.lists_made(), 9);
    let begun = std::time::Instant::now();
    let one_more = denied(&[FULL - 1]);
    publisher.publish(&one_more, NOW.plus(2)).await.unwrap();
    let changed = begun.elapsed();
    assert_eq!(publisher.lists_made(), 10);
    eprintln!("nothing new: {same:?}; one revocation among 41 944: {changed:?}");
}
