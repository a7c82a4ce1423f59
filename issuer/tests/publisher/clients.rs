//! The published folder, read by the client of other people.

use std::path::{Path, PathBuf};
use std::process::Command;

use obol_trust::tuf::Stored;

use crate::officers::*;

/// python-tuf's client; without its environment the claim fails rather than passes.
fn ngclient(house: &House, work: &Path, targets: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python: PathBuf = root.join(".venv/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run `make test`, which makes it from tests/interop/requirements.txt",
        python.display()
    );
    let output = Command::new(python)
        .arg(root.join("tests/interop/tuf_client.py"))
        .arg(house.repository())
        .arg(house.offline().join("root/1.root.json"))
        .arg(work)
        .args(targets)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn python_tufs_client_follows_the_repository_through_changes_and_a_rotation() {
    // Its clock is the system's.
    let now = obol_credential::UnixTime(obol_console::unix_now());
    let mut house = House::new();
    let mut publisher = house.publisher();
    let work = house.folder.path().join("python");
    let today = format!("denylist/ab000001-{}.cbor", now.0 / DAY);
    let files = ["trust-bundle.cbor", "denylist/suspended.cbor", &today];
    publisher.publish(&inputs(&[1], now), now).await.unwrap();
    let first = ngclient(&house, &work, &files);
    assert!(first.starts_with("{\"root\": 1, "), "{first}");
    house.rotate(&[2, 3], |_| {});
    let denied = inputs(&[1, 2, 3], now).suspending([KID]);
    publisher.publish(&denied, now.plus(1)).await.unwrap();
    let second = ngclient(&house, &work, &files);
    let client = house.follow(&mut Stored::default(), now).unwrap();
    let expected = format!(
        "{{\"root\": 2, \"timestamp\": {}, \"snapshot\": {}, \"targets\": 1}}\n",
        client.timestamp().unwrap().head.version,
        client.snapshot().unwrap().head.version,
    );
    assert_eq!(second, expected);
}
