//! The command, on temporary folders.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn setup(folder: &Path, plan: &str, more: &[&str]) -> Output {
    fs::write(folder.join("plan.toml"), plan).unwrap();
    Command::new(env!("CARGO_BIN_EXE_softhsm-setup"))
        .current_dir(folder)
        .args(["plan.toml", "--dir", "hsm"])
        .args(more)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const PLAN: &str = "tokens = [{ name = 'root' }, { name = 'issuer' }]\n";

#[test]
fn tokens_pins_and_token_files_are_made_and_softhsm_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let made = setup(folder.path(), PLAN, &[]);
    assert!(made.status.success(), "{}", stderr(&made));
    let hsm = folder.path().canonicalize().unwrap().join("hsm");
    let conf = hsm.join("softhsm2.conf");
    let printed = String::from_utf8(made.stdout).unwrap();
    assert_eq!(
        printed,
        format!("export SOFTHSM2_CONF={}\n", conf.display())
    );

    let slots = Command::new("softhsm2-util")
        .arg("--show-slots")
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    let slots = String::from_utf8(slots.stdout).unwrap();
    for name in ["root", "issuer"] {
        assert!(
            slots.contains(&format!("Label:            {name}")),
            "{slots}"
        );
        let file = fs::read_to_string(hsm.join(format!("{name}.token.toml"))).unwrap();
        let serial = file
            .lines()
            .find_map(|line| line.strip_prefix("serial = "))
            .unwrap();
        assert!(slots.contains(serial.trim_matches('"')), "{slots}");
        for pin in [format!("{name}.pin"), format!("{name}.so-pin")] {
            let mode = hsm.join(&pin).metadata().unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{pin}");
            assert_eq!(fs::read(hsm.join(&pin)).unwrap().len(), 32);
        }
    }
    assert!(!hsm.join(".setup").exists());
}

#[test]
fn a_folder_that_holds_a_setup_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(setup(folder.path(), PLAN, &[]).status.success());
    let pin = fs::read(folder.path().join("hsm/root.pin")).unwrap();
    let again = setup(folder.path(), PLAN, &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("already holds a setup\nhelp: "),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read(folder.path().join("hsm/root.pin")).unwrap(), pin);
}

#[test]
fn a_setup_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let no_module = folder.path().join("no-module.so");
    fs::write(&no_module, "text").unwrap();
    let failed = setup(
        folder.path(),
        PLAN,
        &["--module", no_module.to_str().unwrap()],
    );
    assert_eq!(failed.status.code(), Some(2));
    assert!(
        stderr(&failed).contains("is not a PKCS#11 module"),
        "{}",
        stderr(&failed)
    );
    assert_eq!(fs::read_dir(folder.path().join("hsm")).unwrap().count(), 0);
    assert!(setup(folder.path(), PLAN, &[]).status.success());
}

#[test]
fn a_plan_with_an_unknown_key_is_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let refused = setup(folder.path(), "tokens = []\nslots = 2\n", &[]);
    assert_eq!(refused.status.code(), Some(2));
    let text = stderr(&refused);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.starts_with("error: plan plan.toml is not valid: unknown field `slots`"),
        "{text}"
    );
    assert!(!folder.path().join("hsm").exists());
}
