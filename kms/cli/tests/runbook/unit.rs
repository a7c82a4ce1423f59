//! The unit as systemd's own tool reads it.

use std::fs;
use std::process::{Command, Output};

use crate::repository;

const UNIT: &str = "obol-kms@.service";
/// Of 100: `systemd-analyze security` calls everything up to 20 safe.
const EXPOSURE_MAX: &str = "15";

/// `None`, with a printed reason, where there is no systemd-analyze.
fn systemd_analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: this machine has no systemd-analyze");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

/// Verifies the unit with `change`: what systemd-analyze complains of.
fn complaints(change: impl FnOnce(String) -> String) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs::read_to_string(repository().join("deploy/systemd").join(UNIT)).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/obol-kms serve "));
    // It must be executable, and nothing is installed here.
    let unit = unit.replace("/usr/bin/obol-kms", env!("CARGO_BIN_EXE_obol-kms"));
    let path = folder.path().join(UNIT);
    fs::write(&path, change(unit)).unwrap();
    let output = systemd_analyze(&["verify", path.to_str().unwrap()])?;
    let text = String::from_utf8(output.stderr).unwrap();
    let of_ours = |line: &&str| line.contains("obol-kms");
    let lines: Vec<_> = text.lines().filter(of_ours).collect();
    Some(lines.join("\n"))
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    if let Some(found) = complaints(|unit| unit) {
        assert_eq!(found, "");
    }
}

#[test]
fn a_misspelt_line_of_the_unit_would_be_found() {
    let misspelt = |unit: String| unit.replace("PrivateTmp=", "PrivatTmp=");
    if let Some(found) = complaints(misspelt) {
        assert!(found.contains("PrivatTmp"), "{found}");
    }
}

/// 3 is a refused PIN, 4 a token that is away: `obol-kms serve --help`.
#[test]
fn the_unit_never_offers_a_refused_pin_again_and_waits_for_a_token_that_is_away() {
    let unit = repository().join("deploy/systemd").join(UNIT);
    let text = fs::read_to_string(&unit).unwrap();
    let value = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        values.next().unwrap().to_owned()
    };
    assert_eq!(value("Restart="), "on-failure");
    let codes = value("RestartPreventExitStatus=");
    assert_eq!(codes.split(' ').collect::<Vec<_>>(), ["2", "3"]);
}

#[test]
fn the_unit_gives_the_daemon_no_more_than_it_needs() {
    let unit = repository().join("deploy/systemd").join(UNIT);
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let arguments = [&arguments[..], &[unit.to_str().unwrap()]].concat();
    if let Some(judged) = systemd_analyze(&arguments) {
        assert!(judged.status.success(), "{judged:?}");
    }
    // The daemon's metrics and clients are on Unix sockets, and its PIN is passed by systemd.
    let text = fs::read_to_string(&unit).unwrap();
    for line in [
        "LoadCredential=pin:/etc/obol-kms/%i/pin",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
}
