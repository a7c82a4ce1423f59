//! The published folder, read by `tough`, the TUF client of another house (tests/tough).

use std::fs;
use std::path::Path;
use std::process::Command;

use obol_credential::UnixTime;
use obol_fare::{Currency, FarePack, FareRule, RuleId, Tariff};
use obol_trust::SuspendedKeys;
use obol_trust::tuf::{Meta, Stored};

use crate::officers::*;

/// What tough told, or why it did not believe the repository. It keeps what it has seen in `state`.
fn tough(house: &House, state: &str, targets: &[&str]) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let program = root.join("target/tough/debug/obol-tough");
    assert!(
        program.exists(),
        "there is no {}: run `make tough`, as `make test` does",
        program.display()
    );
    let output = Command::new(program)
        .arg(house.repository())
        .arg(house.offline().join("root/1.root.json"))
        .arg(house.folder.path().join(state))
        .args(targets)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Its clock is the system's.
fn now() -> UnixTime {
    UnixTime(obol_console::unix_now())
}

fn refused(house: &House, state: &str, expected: &str) {
    let error = tough(house, state, &[]).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

/// What it laid down of a target.
fn copy(house: &House, state: &str, path: &str) -> Vec<u8> {
    fs::read(house.folder.path().join(state).join("files").join(path)).unwrap()
}

fn pack(now: UnixTime, fare_minor: u32) -> FarePack {
    let rules = vec![FareRule::flat(RuleId(10), 1, fare_minor)];
    let (from, until) = (now.minus(DAY), now.plus(DAY));
    let cny = Currency::new("CNY").unwrap();
    FarePack::new(Tariff::plain(cny, from, until, rules)).unwrap()
}

/// Changes a signature of the repository's newest timestamp.
fn spoil_timestamp(house: &House) {
    let path = house.repository().join("metadata/timestamp.json");
    let text = fs::read_to_string(&path).unwrap();
    // The last bytes of a DER signature are those of s.
    let at = text.find("\"sig\":\"").unwrap() + 7;
    let end = at + text[at..].find('"').unwrap();
    let last = if text.as_bytes()[end - 1] == b'0' {
        "1"
    } else {
        "0"
    };
    fs::write(path, format!("{}{last}{}", &text[..end - 1], &text[end..])).unwrap();
}

#[tokio::test]
async fn tough_follows_the_repository_its_delegations_and_a_rotation_of_the_root() {
    let now = now();
    let mut house = House::new();
    let mut publisher = house.publisher();
    let today = format!("denylist/ab000001-{}.cbor", now.0 / DAY);
    let files = [
        "trust-bundle.cbor",
        "denylist/suspended.cbor",
        &today,
        "fares/metro.cbor",
    ];
    let pack = pack(now, 200);
    let with_fares = inputs(&[1], now).with_fares("metro", pack.bytes().to_vec());
    publisher.publish(&with_fares.unwrap(), now).await.unwrap();
    let first = tough(&house, "state", &files).unwrap();
    assert!(first.starts_with("root 1 timestamp "), "{first}");
    // The targets' own file, and one of each delegated role.
    let nobody = SuspendedKeys::default().encode();
    for (path, bytes) in [
        ("trust-bundle.cbor", BUNDLE),
        ("fares/metro.cbor", pack.bytes()),
        ("denylist/suspended.cbor", &nobody),
    ] {
        assert_eq!(copy(&house, "state", path), bytes, "{path}");
    }
    assert_eq!(first.lines().count(), 5, "{first}");

    // The next root, signed by two officers of whom one did not sign the first.
    house.rotate(&[2, 3], |_| {});
    let pack = self::pack(now, 300);
    let denied = inputs(&[1, 2, 3], now).suspending([KID]);
    let changed = denied.with_fares("metro", pack.bytes().to_vec());
    publisher
        .publish(&changed.unwrap(), now.plus(1))
        .await
        .unwrap();
    let second = tough(&house, "state", &files).unwrap();
    assert_eq!(copy(&house, "state", "fares/metro.cbor"), pack.bytes());
    let suspended = copy(&house, "state", "denylist/suspended.cbor");
    assert!(SuspendedKeys::decode(&suspended).unwrap().contains(KID));
    let client = house.follow(&mut Stored::default(), now).unwrap();
    let expected = format!(
        "root 2 timestamp {} snapshot {} targets 1",
        client.timestamp().unwrap().head.version,
        client.snapshot().unwrap().head.version,
    );
    assert_eq!(second.lines().next(), Some(&*expected));
}

#[tokio::test]
async fn tough_refuses_fares_that_the_deny_lists_key_signed() {
    let now = now();
    let house = House::new();
    let fares = pack(now, 200).bytes().to_vec();
    let inputs = inputs(&[1], now).with_fares("metro", fares).unwrap();
    house.publisher().publish(&inputs, now).await.unwrap();
    tough(&house, "state", &["fares/metro.cbor"]).unwrap();
    // Whoever has all other online keys makes the rest fit.
    let client = house.follow(&mut Stored::default(), now).unwrap();
    let fares = client.targets("fares").unwrap();
    let forged = signed(fares.to_json(), &[7]);
    let mut snapshot = client.snapshot().unwrap().clone();
    let meta = Meta::of(fares.head.version, &forged);
    snapshot.meta.insert("fares.json".to_owned(), meta);
    snapshot.head.version += 1;
    let mut timestamp = client.timestamp().unwrap().clone();
    timestamp.head.version += 1;
    let (version, bytes) = (snapshot.head.version, signed(snapshot.to_json(), &[5]));
    timestamp.snapshot = Meta::of(version, &bytes);
    for (name, bytes) in [
        (format!("{}.fares.json", fares.head.version), forged),
        (format!("{version}.snapshot.json"), bytes),
        (
            "timestamp.json".to_owned(),
            signed(timestamp.to_json(), &[4]),
        ),
    ] {
        fs::write(house.repository().join("metadata").join(name), bytes).unwrap();
    }
    refused(&house, "state", "ignature");
}

#[tokio::test]
async fn tough_refuses_what_has_expired_what_is_signed_wrongly_and_what_was_turned_back() {
    let now = now();
    let mut house = House::new();
    let old = now.minus(DAY + 1);
    house
        .publisher()
        .publish(&inputs(&[], old), old)
        .await
        .unwrap();
    refused(&house, "expired", "expired");

    let before = fs::read(house.repository().join("metadata/timestamp.json")).unwrap();
    house
        .publisher()
        .publish(&inputs(&[1], now), now)
        .await
        .unwrap();
    tough(&house, "state", &[]).unwrap();
    let newest = fs::read(house.repository().join("metadata/timestamp.json")).unwrap();
    fs::write(house.repository().join("metadata/timestamp.json"), before).unwrap();
    // An expired one that is older as well is refused for either reason.
    refused(&house, "state", "timestamp");
    fs::write(house.repository().join("metadata/timestamp.json"), newest).unwrap();
    tough(&house, "state", &[]).unwrap();

    spoil_timestamp(&house);
    refused(&house, "state", "ignature");

    // A root that one officer alone signed.
    house
        .publisher()
        .publish(&inputs(&[1, 2], now), now.plus(1))
        .await
        .unwrap();
    tough(&house, "state", &[]).unwrap();
    house.rotate(&[1], |_| {});
    let lone = house.offline().join("root/2.root.json");
    fs::copy(lone, house.repository().join("metadata/2.root.json")).unwrap();
    refused(&house, "state", "ignature");
}
