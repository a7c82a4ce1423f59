//! Tokens that go away, come back, are shared, are exchanged.

use std::fs;
use std::path::Path;

use obol_kms_client::wire::RefusalKind;

use crate::device::{Device, Signer};

#[test]
fn a_token_whose_storage_is_taken_away_and_given_back_signs_again_without_help() {
    let mut device = Device::healthy();
    device.start();
    device.sign().unwrap();
    let (here, away) = (storage(&device), device.world.folder().join("away"));
    fs::rename(&here, &away).unwrap();
    let refusal = device.sign().unwrap_err();
    assert!(!refusal.reason.is_empty());
    fs::rename(&away, &here).unwrap();
    let took = device.recover();
    println!(
        "first good signature {} ms after the storage",
        took.as_millis()
    );
}

#[test]
fn a_daemon_that_nobody_asks_notices_that_its_storage_is_gone_and_that_it_is_back() {
    for signed_before in [0, 1] {
        let mut device = Device::healthy();
        device.start();
        (0..signed_before).for_each(|_| device.sign().unwrap());
        device.wait_for_health("200 OK", "ok");
        let (here, away) = (storage(&device), device.world.folder().join("away"));
        fs::rename(&here, &away).unwrap();
        // It is asked for no signature: it finds out itself.
        device.wait_for_health("503", "token \"issuer\" is degraded: ");
        let state = |state| format!("obol_kms_token_state{{token=\"issuer\",state=\"{state}\"}} 1");
        let (_, metrics) = device.world.ask_kms("/metrics").unwrap();
        assert!(metrics.contains(&state("degraded")), "{metrics}");
        fs::rename(&away, &here).unwrap();
        device.wait_for_health("200 OK", "ok");
        let (_, metrics) = device.world.ask_kms("/metrics").unwrap();
        assert!(metrics.contains(&state("ready")), "{metrics}");
        device.sign().unwrap();
    }
}

#[test]
fn a_daemon_that_nobody_asks_notices_that_its_key_is_gone_though_the_sessions_live() {
    let device = Device::new();
    device.sign().unwrap();
    device.faults.set("C_FindObjects * empty");
    device.wait_for_health("503", "token \"issuer\" is degraded: ");
    assert_eq!(device.faults.calls("C_Sign"), 0, "nobody asked");
    device.faults.clear();
    device.wait_for_health("200 OK", "ok");
    device.sign().unwrap();
}

#[test]
fn the_registry_forgets_no_key_because_its_token_looks_empty() {
    let device = Device::new();
    let token = "tokens/issuer.token.toml";
    let list = [
        "keys",
        "list",
        "--registry",
        "keys.registry",
        "--token",
        token,
    ];
    let kms = device.world.tool("obol-kms");
    let listed = || kms.succeed(&list).unwrap().stdout;
    let before = listed();
    device
        .faults
        .set("C_Sign 1 return CKR_DEVICE_ERROR\nC_FindObjects * empty");
    device.sign().unwrap_err();
    let unavailable = " UNAVAILABLE: its token does not show it";
    let while_empty = listed();
    assert!(while_empty.contains(unavailable), "{while_empty}");
    assert_eq!(while_empty.replace(unavailable, ""), before);
    device.faults.clear();
    device.recover();
    assert_eq!(listed(), before);
}

#[test]
fn sixteen_callers_at_once_are_all_served() {
    let device = Device::new();
    for end in device.sign_many(16, 16) {
        end.unwrap();
    }
    assert_eq!(device.faults.calls("C_Sign"), 256);
    assert_eq!(
        device.faults.calls("C_FindObjectsInit"),
        0,
        "handles are kept"
    );
    assert!(device.faults.calls("C_OpenSession") <= 4, "a bounded pool");
}

#[test]
fn two_daemons_on_one_token_both_sign() {
    let mut device = Device::healthy();
    device.start();
    let folder = device.world.folder();
    let config = fs::read_to_string(folder.join("kms.toml")).unwrap();
    let config = second(&config);
    fs::write(folder.join("second.toml"), config).unwrap();
    fs::create_dir(folder.join("second-audit")).unwrap();
    let serve = ["serve", "--config", "second.toml"];
    let second = device.world.serve("obol-kms", "second", &serve).unwrap();
    let socket = folder.join("second.sock");
    let other = device.runtime().block_on(Signer::connect(&socket));
    let others = device.runtime().spawn(async move {
        for number in 0..32 {
            other.sign(number).await.unwrap();
        }
    });
    for end in device.sign_many(4, 8) {
        end.unwrap();
    }
    device.runtime().block_on(others).unwrap();
    second.stop().unwrap();
}

#[test]
fn another_token_of_the_same_label_is_refused_while_serving_and_at_the_start() {
    let mut device = Device::healthy();
    device.start();
    device.sign().unwrap();
    let folder = device.world.folder().to_owned();
    let plan = "tokens = [{ name = \"issuer\" }]\n";
    fs::write(folder.join("plan.toml"), plan).unwrap();
    let setup = device.world.tool("softhsm-setup");
    setup.succeed(&["plan.toml", "--dir", "impostor"]).unwrap();
    let (here, away) = (storage(&device), folder.join("away"));
    fs::rename(&here, &away).unwrap();
    let impostor = storage_in(&folder.join("impostor"));
    fs::rename(&impostor, &here).unwrap();
    // The impostor has the same PIN, so that only its identity can betray it.
    for pin in ["issuer.pin", "issuer.so-pin"] {
        fs::copy(
            folder.join("impostor").join(pin),
            folder.join("tokens").join(pin),
        )
        .unwrap();
    }
    let begun = std::time::Instant::now();
    while let Ok(()) = device.sign() {
        assert!(
            begun.elapsed().as_secs() < 60,
            "handles of a token that is gone"
        );
    }
    for _ in 0..3 {
        assert_eq!(device.sign().unwrap_err().kind, RefusalKind::TokenFailure);
    }
    drop(device.world.kill("kms"));
    let error = device.world.start_kms().unwrap_err().to_string();
    assert!(
        error.contains("no token labelled \"issuer\" with serial"),
        "{error}"
    );
}

/// Where SoftHSM keeps the world's tokens.
fn storage(device: &Device) -> std::path::PathBuf {
    storage_in(&device.world.folder().join("tokens"))
}

fn storage_in(tokens: &Path) -> std::path::PathBuf {
    let conf = fs::read_to_string(tokens.join("softhsm2.conf")).unwrap();
    let line = conf
        .lines()
        .find(|line| line.starts_with("directories.tokendir"));
    line.unwrap().split(" = ").nth(1).unwrap().trim().into()
}

/// The configuration of a second daemon beside the first: they share tokens and registry, and each
/// has its own log.
fn second(config: &str) -> String {
    config
        .replace("kms.sock", "second.sock")
        .replace("kms-metrics.sock", "second-metrics.sock")
        .replace("\"audit\"", "\"second-audit\"")
}
