//! `kill -9`, anywhere.

use std::{collections::BTreeSet, thread, time::Duration};

use crate::stage::{Stage, amounts, granted, json, names, refused, two_lines};

#[test]
fn a_platform_killed_between_uploads_loses_no_acknowledged_record() {
    let mut stage = Stage::running(&["bus-1", "bus-2"]);
    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    stage.ride(&ada, "bus-2", 1);
    assert_eq!(
        stage.world.terminal("bus-1").upload().unwrap()["watermark"],
        1
    );
    stage.world.kill("platform").unwrap();

    let waiting = stage.world.terminal("bus-2").run(&["upload"]).unwrap();
    let (error, help) = two_lines(&waiting, 2);
    let url = format!(
        "https://localhost:{}/v1/segments",
        stage.world.ports.terminals
    );
    assert!(
        error.starts_with(&format!("cannot reach {url}: ")),
        "{error}"
    );
    assert_eq!(
        help,
        "check that the service runs and that host and port are right"
    );

    stage.world.start_platform().unwrap();
    assert_eq!(amounts(&ada), [5_000, -200]);
    assert_eq!(
        stage.world.terminal("bus-1").upload().unwrap()["records"],
        0
    );
    assert_eq!(
        stage.world.terminal("bus-2").upload().unwrap()["watermark"],
        1
    );
    assert_eq!(amounts(&ada), [5_000, -200, -200]);
    stage.world.check_books().unwrap();
}

#[test]
fn a_platform_killed_at_any_moment_of_an_upload_ends_in_the_same_books() {
    let mut stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let mut expected = vec![5_000];
    for seq in 1..=8 {
        stage.ride(&ada, "bus-1", seq);
        let bus = stage.world.terminal("bus-1");
        let upload = thread::spawn(move || bus.run(&["upload"]).unwrap());
        // Anywhere between before the connection and after the answer.
        thread::sleep(Duration::from_millis(8 * (seq - 1)));
        stage.world.kill("platform").unwrap();
        let acknowledged = upload.join().unwrap();
        stage.world.start_platform().unwrap();
        expected.push(-200);
        if acknowledged.code == 0 {
            assert_eq!(json(&acknowledged)["watermark"], seq);
            assert_eq!(amounts(&ada), expected, "an acknowledged record was lost");
        } else {
            two_lines(&acknowledged, 2);
        }
        assert_eq!(
            stage.world.terminal("bus-1").upload().unwrap()["watermark"],
            seq
        );
        assert_eq!(amounts(&ada), expected);
    }
    stage.world.check_books().unwrap();
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
}

#[test]
fn a_terminal_killed_right_after_granted_has_the_ride_and_takes_the_code_no_more() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let mut scanner = stage.world.terminal("bus-1").scanner().unwrap();
    let code = ada.text().unwrap();
    assert_eq!(scanner.type_code(&code).unwrap(), granted(1));
    // The gate's mark comes after the gate: once the next code is answered, it is there.
    let noise = scanner.type_code("NOISE").unwrap();
    assert_eq!(noise, refused("UNKNOWN_SCHEME"));
    scanner.kill().unwrap();

    let bus = stage.world.terminal("bus-1");
    let checked = json(&bus.run(&["journal", "check"]).unwrap());
    assert_eq!(
        (&checked["result"], &checked["records"]),
        (&"whole".into(), &1.into())
    );
    let mut restarted = bus.scanner().unwrap();
    assert_eq!(restarted.type_code(&code).unwrap(), refused("DUPLICATE"));
    ada.refresh().unwrap();
    assert_eq!(
        restarted.type_code(&ada.text().unwrap()).unwrap(),
        granted(2)
    );
    restarted.kill().unwrap();
    assert_eq!(bus.upload().unwrap()["watermark"], 2);
    assert_eq!(amounts(&ada), [5_000, -200, -200]);
}

/// Fetches a credential and notes its names, none of which may have been seen.
fn fetch(stage: &Stage, seen: &mut Seen) {
    let ada = stage.world.passenger("ada");
    ada.refresh().unwrap();
    let (index, key, cti) = names(&ada.text().unwrap());
    assert!(seen.indexes.insert(index), "status index {index} twice");
    assert!(seen.keys.insert(key), "a device key twice");
    assert!(seen.ctis.insert(cti), "a cti twice");
}

#[derive(Default)]
struct Seen {
    indexes: BTreeSet<u32>,
    keys: BTreeSet<[u8; 33]>,
    ctis: BTreeSet<[u8; 8]>,
}

/// No credential while it is down, and an error that says so.
fn unavailable(stage: &Stage) {
    let ran = stage.world.passenger("ada").run(&["refresh"]).unwrap();
    let (error, _) = two_lines(&ran, 1);
    let said = "the platform refused: No credential can be issued now (issuer-unavailable): ";
    assert!(error.starts_with(said), "{error}");
}

#[test]
fn credentials_go_on_after_the_issuer_was_killed_and_none_has_an_index_twice() {
    let mut stage = Stage::running(&["bus-1"]);
    let (ada, mut seen) = (stage.rider("ada"), Seen::default());
    for _ in 0..3 {
        fetch(&stage, &mut seen);
        fetch(&stage, &mut seen);
        stage.world.kill("issuer").unwrap();
        unavailable(&stage);
        stage.world.start_issuer().unwrap();
    }
    fetch(&stage, &mut seen);
    let code = ada.show("after.png").unwrap();
    assert_eq!(
        stage.world.terminal("bus-1").scan(&code).unwrap(),
        granted(1)
    );
}

#[test]
fn credentials_go_on_after_the_key_daemon_was_killed_and_none_has_an_index_twice() {
    let mut stage = Stage::running(&["bus-1"]);
    let (ada, mut seen) = (stage.rider("ada"), Seen::default());
    for _ in 0..3 {
        fetch(&stage, &mut seen);
        fetch(&stage, &mut seen);
        stage.world.kill("kms").unwrap();
        unavailable(&stage);
        // The issuer keeps running and finds the new daemon by itself.
        stage.world.start_kms().unwrap();
    }
    fetch(&stage, &mut seen);
    let code = ada.show("after.png").unwrap();
    assert_eq!(
        stage.world.terminal("bus-1").scan(&code).unwrap(),
        granted(1)
    );
}
