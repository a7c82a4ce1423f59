//! The command, on temporary folders.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_second_run_of_the_same_plan_finds_the_tokens_and_leaves_them() {
    let folder = tempfile::tempdir().unwrap();
    let first = setup(folder.path(), PLAN, &[]);
    assert!(first.status.success(), "{}", stderr(&first));
    let before = files(&folder.path().join("hsm"));
    let again = setup(folder.path(), PLAN, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let said = "these tokens are there already and left as they are: root, issuer\n";
    assert_eq!(stderr(&again), said);
    assert_eq!(again.stdout, first.stdout);
    assert!(
        files(&folder.path().join("hsm")) == before,
        "something was written"
    );
}

/// What a second run refuses after `change`, which leaves everything as it was.
fn refused_after(plan: &str, change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    assert!(setup(folder.path(), PLAN, &[]).status.success());
    let hsm = folder.path().join("hsm").canonicalize().unwrap();
    change(&hsm);
    let before = files(&hsm);
    let again = setup(folder.path(), plan, &[]);
    assert!(files(&hsm) == before, "something was written");
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert_eq!(again.stdout, b"");
    let text = stderr(&again).replace(&format!("{}/", hsm.display()), "");
    let text = text.replace(&hsm.display().to_string(), "hsm");
    let (error, help) = text.split_once("\nhelp: ").unwrap();
    assert!(help.starts_with("nothing was changed; "), "{help}");
    let prefix = "error: the setup differs from the plan: ";
    error.strip_prefix(prefix).unwrap().to_owned()
}

#[test]
fn a_setup_that_differs_from_the_plan_is_refused_and_nothing_is_changed() {
    let nothing = |_: &Path| ();
    let more = "tokens = [{ name = 'root' }, { name = 'issuer' }, { name = 'access' }]\n";
    assert_eq!(
        refused_after(more, nothing),
        "hsm has no token file \"access\""
    );
    let fewer = "tokens = [{ name = 'root' }]\n";
    let unplanned = "hsm has an unplanned token file \"issuer\"";
    assert_eq!(refused_after(fewer, nothing), unplanned);
    let conf = refused_after(PLAN, |hsm| {
        fs::write(hsm.join("softhsm2.conf"), "").unwrap()
    });
    assert_eq!(conf, "softhsm2.conf is not what this setup writes");
}

#[test]
fn a_token_that_is_gone_or_another_is_refused_and_nothing_is_changed() {
    let emptied = refused_after(PLAN, |hsm| {
        fs::remove_dir_all(hsm.join("tokens")).unwrap();
        fs::create_dir(hsm.join("tokens")).unwrap();
    });
    assert!(emptied.starts_with("tokens has no token \""), "{emptied}");
    let another = refused_after(PLAN, |hsm| {
        let file = hsm.join("root.token.toml");
        let text = fs::read_to_string(&file).unwrap();
        let serial = text
            .lines()
            .find(|line| line.starts_with("serial"))
            .unwrap();
        fs::write(&file, text.replace(serial, "serial = '0123456789abcdef'")).unwrap();
    });
    let named = "root.token.toml names serial \"0123456789abcdef\", which no token \"root\" has";
    assert_eq!(another, named);
    let no_pin = refused_after(PLAN, |hsm| fs::remove_file(hsm.join("issuer.pin")).unwrap());
    let begins = "issuer.token.toml has no PIN: issuer.pin cannot be read";
    assert!(no_pin.starts_with(begins), "{no_pin}");
}

#[test]
fn a_setup_under_way_is_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("hsm/.setup")).unwrap();
    let refused = setup(folder.path(), PLAN, &[]);
    assert_eq!(refused.status.code(), Some(2));
    let text = stderr(&refused);
    assert!(
        text.contains(".setup already holds a setup\nhelp: "),
        "{text}"
    );
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
