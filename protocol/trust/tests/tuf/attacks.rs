//! Each test is a line of the table in docs/spec/trust.md section 9.

use obol_credential::UnixTime;
use obol_trust::tuf::*;

use crate::repository::*;

fn updated() -> (Repository, Medium) {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    repository.next();
    medium.update(&repository).unwrap();
    (repository, medium)
}

fn refusal(medium: &mut Medium, repository: &Repository) -> Refused {
    let before = medium.stored.clone();
    let refused = medium.update(repository).unwrap_err();
    assert_eq!(medium.stored.root, before.root);
    refused
}

fn file(name: &str) -> String {
    name.to_owned()
}

fn not_signed(name: &str, good: u32, needed: u32) -> Refused {
    Refused::Signatures {
        file: file(name),
        threshold: ThresholdNotMet { good, needed },
    }
}

#[test]
fn a_timestamp_turned_back_is_refused() {
    let (mut repository, mut medium) = updated();
    repository.timestamp.head.version = 1;
    repository.publish_timestamp();
    let expected = Refused::Rollback {
        file: file("timestamp.json"),
        found: 1,
        trusted: 2,
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
    assert_eq!(medium.version("timestamp"), Some(2));
}

#[test]
fn a_snapshot_turned_back_is_refused() {
    let (mut repository, mut medium) = updated();
    repository.timestamp.head.version = 3;
    repository.timestamp.snapshot.version = 1;
    repository.publish_timestamp();
    let expected = Refused::Rollback {
        file: file("snapshot.json"),
        found: 1,
        trusted: 2,
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_targets_role_turned_back_is_refused() {
    let (mut repository, mut medium) = updated();
    repository.targets.get_mut("denylist").unwrap().head.version = 1;
    repository.snapshot.head.version = 3;
    repository.timestamp.head.version = 3;
    repository.publish();
    let expected = Refused::Rollback {
        file: file("denylist.json"),
        found: 1,
        trusted: 2,
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
    assert_eq!(medium.version("denylist"), Some(2));
}

#[test]
fn a_snapshot_that_leaves_a_role_out_is_refused() {
    let (mut repository, mut medium) = updated();
    repository.snapshot.head.version = 3;
    repository.timestamp.head.version = 3;
    repository.snapshot.meta.remove("denylist.json");
    repository.publish_snapshot();
    let expected = Refused::Dropped {
        file: file("3.snapshot.json"),
        missing: file("denylist.json"),
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_root_turned_back_is_not_even_asked_for() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    repository.rotate(&[1, 2], |_| {});
    medium.update(&repository).unwrap();
    // The repository has lost its second root: the terminal keeps it.
    let second = repository.files.remove("2.root.json").unwrap();
    medium.update(&repository).unwrap();
    assert_eq!(medium.stored.root, second);
    // And a first one under the name of a third is refused.
    let first = repository.files["1.root.json"].clone();
    repository.files.insert("3.root.json".to_owned(), first);
    let expected = Refused::Version {
        file: file("3.root.json"),
        found: 1,
        wanted: 3,
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_frozen_repository_is_noticed_when_the_timestamp_ends() {
    let (repository, mut medium) = updated();
    medium
        .update_at(&repository, UnixTime(LATER.0 - 1))
        .unwrap();
    let mut long = repository.clone();
    // Root, snapshot and targets are good for a year; only the timestamp is not renewed.
    long.rotate(&[1, 2], |root| root.head.expires = UnixTime(LATER.0 * 2));
    let refused = medium.update_at(&long, LATER).unwrap_err();
    let expected = Refused::Expired {
        file: file("timestamp.json"),
        expires: LATER,
        now: LATER,
    };
    assert_eq!(refused, expected);
}

#[test]
fn each_role_out_of_date_is_refused() {
    let past = UnixTime(NOW.0);
    for role in ["snapshot", "targets", "denylist"] {
        let (mut repository, mut medium) = updated();
        match role {
            "snapshot" => repository.snapshot.head.expires = past,
            _ => repository.targets.get_mut(role).unwrap().head.expires = past,
        }
        repository.next();
        let expected = Refused::Expired {
            file: format!("3.{role}.json"),
            expires: past,
            now: NOW,
        };
        assert_eq!(refusal(&mut medium, &repository), expected);
        assert_eq!(medium.version(role), Some(2), "{role}");
    }
}

#[test]
fn files_of_different_snapshots_are_not_mixed() {
    let (mut repository, mut medium) = updated();
    let denylist = repository.files["2.denylist.json"].clone();
    repository.next();
    // DER is of one length or another; the hash alone decides here.
    repository
        .snapshot
        .meta
        .get_mut("denylist.json")
        .unwrap()
        .length = None;
    repository.publish_snapshot();
    // An old but well signed deny list under the new one's name.
    repository.files.insert(file("3.denylist.json"), denylist);
    let expected = Refused::Mismatch {
        file: file("3.denylist.json"),
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
    // Without hashes in the snapshot, the version betrays it.
    let meta = repository.snapshot.meta.get_mut("denylist.json").unwrap();
    (meta.length, meta.hashes) = (None, None);
    repository.snapshot.head.version += 1;
    repository.timestamp.head.version += 1;
    repository.publish_snapshot();
    let expected = Refused::Version {
        file: file("3.denylist.json"),
        found: 2,
        wanted: 3,
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_snapshot_of_another_timestamp_is_refused() {
    let (mut repository, mut medium) = updated();
    let snapshot = repository.files["2.snapshot.json"].clone();
    repository.next();
    repository.files.insert(file("3.snapshot.json"), snapshot);
    // DER is of one length or another; the hash alone decides here.
    repository.timestamp.snapshot.length = None;
    repository.publish_timestamp();
    let expected = Refused::Mismatch {
        file: file("3.snapshot.json"),
    };
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn versions_that_a_stolen_key_drove_up_are_forgotten_when_it_is_rotated() {
    let (mut repository, mut medium) = updated();
    let mut attacker = repository.clone();
    attacker.timestamp.head.version = VERSION_MAX;
    attacker.snapshot.head.version = VERSION_MAX;
    attacker.publish();
    medium.update(&attacker).unwrap();
    assert_eq!(medium.version("timestamp"), Some(VERSION_MAX));
    repository.next();
    let expected = Refused::Rollback {
        file: "timestamp.json".to_owned(),
        found: repository.timestamp.head.version,
        trusted: VERSION_MAX,
    };
    assert_eq!(medium.update(&repository).unwrap_err(), expected);
    // The officers replace the timestamp's and the snapshot's key.
    repository.rotate(&[1, 2], |root| {
        for (role, old, new) in [("timestamp", 4, 14), ("snapshot", 5, 15)] {
            root.keys.remove(&keyid(old));
            root.keys.insert(keyid(new), key(new));
            root.roles.get_mut(role).unwrap().keyids = vec![keyid(new)];
        }
    });
    repository.signers.insert("timestamp".to_owned(), vec![14]);
    repository.signers.insert("snapshot".to_owned(), vec![15]);
    repository.publish_snapshot();
    medium.update(&repository).unwrap();
    assert_eq!(medium.version("timestamp"), Some(3));
    assert_eq!(medium.version("snapshot"), Some(3));
}

#[test]
fn endless_data_is_cut_off_at_each_roles_limit() {
    for (name, limit) in [
        ("2.root.json", Some(Limits::TERMINAL.root)),
        ("timestamp.json", Some(Limits::TERMINAL.timestamp)),
        // Of these the length was announced.
        ("3.snapshot.json", None),
        ("3.targets.json", None),
        ("3.fares.json", None),
    ] {
        let (mut repository, mut medium) = updated();
        repository.next();
        let limit = limit.unwrap_or_else(|| repository.files[name].len());
        repository.files.insert(file(name), vec![b' '; limit + 1]);
        let expected = Refused::TooLong {
            file: file(name),
            limit,
        };
        assert_eq!(refusal(&mut medium, &repository), expected);
    }
}

#[test]
fn roots_without_end_are_followed_to_the_limit_and_no_further() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    for _ in 0..Limits::TERMINAL.rotations + 5 {
        repository.rotate(&[1, 2], |_| {});
    }
    let client = medium.update(&repository).unwrap();
    assert_eq!(client.root().head.version, 1 + Limits::TERMINAL.rotations);
    // The next update goes on where this one ended.
    let client = medium.update(&repository).unwrap();
    assert_eq!(client.root().head.version, 6 + Limits::TERMINAL.rotations);
}

#[test]
fn a_root_that_only_one_officer_signed_is_refused() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    repository.rotate(&[1], |_| {});
    let expected = not_signed("2.root.json", 1, 2);
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_root_that_only_its_own_keys_signed_is_refused() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    repository.rotate(&[21, 22], |root| {
        root.keys
            .extend([21, 22].map(|seed| (keyid(seed), key(seed))));
        root.roles.insert("root".to_owned(), role(&[21, 22], 2));
    });
    let expected = not_signed("2.root.json", 0, 2);
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn a_root_that_its_own_keys_did_not_sign_is_refused() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    repository.rotate(&[1, 2], |root| {
        root.keys
            .extend([21, 22].map(|seed| (keyid(seed), key(seed))));
        root.roles.insert("root".to_owned(), role(&[21, 22], 2));
    });
    let expected = not_signed("2.root.json", 0, 2);
    assert_eq!(refusal(&mut medium, &repository), expected);
}

#[test]
fn one_key_under_two_names_counts_once() {
    let mut repository = Repository::new();
    // The same point in a PEM without the line end behind it: another name, the same key.
    let mut other = key(1).to_json();
    if let obol_trust::json::Json::Object(members) = &mut other {
        let pem = key(1).public().trim_end().to_owned();
        let value = obol_trust::json::Json::object([("public", obol_trust::json::Json::Text(pem))]);
        members.insert("keyval".to_owned(), value);
    }
    let other =
        obol_trust::json::Json::object([("keys", obol_trust::json::Json::Null), ("k", other)]);
    let other = other.member("k").unwrap().clone();
    let name = {
        use sha2::Digest;
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(other.canonical()))
    };
    let mut json = repository.root.to_json();
    // Written by hand, since our types would write the key's own name.
    let text = String::from_utf8(json.to_text()).unwrap();
    let with_alias = text
        .replacen(
            "\"keys\":{",
            &format!(
                "\"keys\":{{\"{name}\":{},",
                String::from_utf8(other.to_text()).unwrap()
            ),
            1,
        )
        .replace(&format!("\"{}\"]", keyid(3)), &format!("\"{name}\"]"));
    json = obol_trust::json::Json::parse(with_alias.as_bytes(), 1 << 20).unwrap();
    let mut signatures = vec![signature(&json, 1)];
    let mut alias = signature(&json, 1);
    alias.keyid = name;
    signatures.push(alias);
    let bytes = Signed::assemble(json, &signatures);
    repository.files.insert("1.root.json".to_owned(), bytes);
    let refused = Medium::new(&repository).update(&repository).unwrap_err();
    assert_eq!(refused, not_signed("root.json", 1, 2));
}

#[test]
fn signatures_of_strangers_do_not_count() {
    for (role, name, seed) in [
        ("timestamp", "timestamp.json", 99),
        // A key of the house, but of another role.
        ("snapshot", "3.snapshot.json", 4),
        ("denylist", "3.denylist.json", 8),
    ] {
        let (mut repository, mut medium) = updated();
        repository.signers.insert(role.to_owned(), vec![seed]);
        repository.next();
        let refused = refusal(&mut medium, &repository);
        assert_eq!(refused, not_signed(name, 0, 1), "{role}");
    }
}

#[test]
fn a_changed_byte_in_what_is_signed_is_refused() {
    let (mut repository, mut medium) = updated();
    repository.timestamp.head.version += 1;
    repository.publish_timestamp();
    let bytes = repository.files["timestamp.json"].clone();
    let text = String::from_utf8(bytes).unwrap();
    let bent = text.replace("1800000000", "1800000001");
    assert_ne!(text, bent);
    repository
        .files
        .insert(file("timestamp.json"), bent.into_bytes());
    assert_eq!(
        refusal(&mut medium, &repository),
        not_signed("timestamp.json", 0, 1)
    );
}

#[test]
fn a_file_that_the_repository_withholds_ends_the_update_and_nothing_else() {
    for name in [
        "timestamp.json",
        "3.snapshot.json",
        "3.targets.json",
        "3.denylist.json",
    ] {
        let (mut repository, mut medium) = updated();
        repository.next();
        repository.files.remove(name);
        let file = file(name);
        assert_eq!(refusal(&mut medium, &repository), Refused::Absent { file });
    }
}

#[test]
fn a_stored_file_that_was_damaged_is_fetched_again() {
    let (repository, medium) = updated();
    for role in ["timestamp", "snapshot", "targets", "denylist"] {
        let mut damaged = medium.clone();
        let bytes = damaged.stored.roles.get_mut(role).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        damaged.update(&repository).unwrap();
        assert_eq!(damaged.stored, medium.stored, "{role}");
    }
    let mut damaged = medium;
    damaged.stored.root[20] ^= 0x80;
    let refused = damaged.update(&repository).unwrap_err();
    let Refused::Malformed { file, reason } = refused else {
        panic!("{refused}")
    };
    let expected = "no strict JSON: invalid unicode code point";
    assert!(reason.starts_with(expected), "{reason}");
    assert_eq!(file, "root.json");
}
