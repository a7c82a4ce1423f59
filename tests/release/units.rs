//! The systemd units, as systemd's own tools read them, and what they lean on.

use std::fs;
use std::process::{Command, Output};

use crate::{repository, said};

/// Of 100: `systemd-analyze security` calls everything up to 20 safe.
const EXPOSURE_MAX: &str = "--threshold=15";

/// `None`, with a printed reason, where this machine has no systemd.
fn systemd(tool: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: this machine has no {tool}");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

/// Name and text of every unit.
fn units() -> Vec<(String, String)> {
    let folder = repository().join("deploy/systemd");
    let mut units: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    units.sort();
    let names: Vec<_> = units.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "obol-issuer.service",
        "obol-kms@.service",
        "obol-platform.service",
    ];
    assert_eq!(names, expected);
    units
}

fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("{name}=");
    let values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(start.as_str()));
    values.collect()
}

/// What `systemd-analyze verify` complains of, all units side by side, each after `change`.
fn complaints(change: impl Fn(String) -> String) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, text) in units() {
        // It must be executable, and nothing is installed here.
        let path = folder.path().join(name);
        fs::write(
            &path,
            change(text.replace("=/usr/bin/obol-", "=/bin/true obol-")),
        )
        .unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    let arguments: Vec<_> = std::iter::once("verify")
        .chain(paths.iter().map(String::as_str))
        .collect();
    let output = systemd("systemd-analyze", &arguments)?;
    let text = said(&output);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("obol-")).collect();
    Some(lines.join("\n"))
}

#[test]
fn every_unit_is_one_that_systemd_understands() {
    if let Some(found) = complaints(|unit| unit) {
        assert_eq!(found, "");
    }
    let misspelt = |unit: String| unit.replace("LockPersonality=", "LockPersonalty=");
    if let Some(found) = complaints(misspelt) {
        for (name, _) in units() {
            assert!(found.contains(&name), "{name}: {found}");
        }
    }
}

#[test]
fn every_unit_gives_its_service_no_more_than_it_needs() {
    for (name, unit) in units() {
        let path = repository().join("deploy/systemd").join(&name);
        let path = path.to_str().unwrap();
        let judge = [
            "security",
            "--offline=true",
            "--no-pager",
            EXPOSURE_MAX,
            path,
        ];
        if let Some(judged) = systemd("systemd-analyze", &judge) {
            assert!(judged.status.success(), "{name}: {judged:?}");
        }
        for line in [
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "ProtectSystem=strict",
            "PrivateTmp=yes",
            "MemoryDenyWriteExecute=yes",
            "SystemCallFilter=@system-service",
            "LimitCORE=0",
        ] {
            assert!(unit.lines().any(|found| found == line), "{name}: {line}");
        }
        let networked = values(&unit, "PrivateNetwork") != ["yes"];
        assert_eq!(networked, !name.starts_with("obol-kms"), "{name}");
    }
}

/// A service that is stopped answers what it has taken: `obol_transport::serve` waits 32 s.
#[test]
fn systemd_waits_until_open_requests_are_answered() {
    for (name, unit) in units() {
        if name.starts_with("obol-kms") {
            continue;
        }
        let [wait] = values(&unit, "TimeoutStopSec")[..] else {
            panic!("{name}")
        };
        assert!(wait.parse::<u32>().unwrap() > 32, "{name}: {wait}");
    }
}

/// `systemd-sysusers` makes the users, `systemd-tmpfiles` the folders of their configurations.
#[test]
fn the_users_and_folders_that_the_units_name_are_made() {
    let deploy = repository().join("deploy").canonicalize().unwrap();
    let (users, folders) = (deploy.join("obol.sysusers"), deploy.join("obol.tmpfiles"));
    let folders = fs::read_to_string(folders).unwrap();
    let made = systemd("systemd-sysusers", &["--dry-run", users.to_str().unwrap()]);
    let made = made.map(|output| {
        assert!(output.status.success(), "{output:?}");
        said(&output)
    });
    let users = fs::read_to_string(users).unwrap();
    for (name, unit) in units() {
        let [user] = values(&unit, "User")[..] else {
            panic!("{name}")
        };
        let mut lines = users.lines();
        let line = lines.any(|line| line.starts_with(&format!("u {user} ")));
        assert!(line, "{user}");
        if let Some(made) = &made {
            assert!(made.contains(&format!("Creating user '{user}'")), "{made}");
        }
        for group in values(&unit, "SupplementaryGroups") {
            assert!(users.contains(&format!("u {group} ")), "{name}: {group}");
        }
        let [command] = values(&unit, "ExecStart")[..] else {
            panic!("{name}")
        };
        let config = command.rsplit(' ').next().unwrap();
        let folder = config.rsplit_once('/').unwrap().0.replace("%i", "issuer");
        let folder = format!("d {folder} ");
        let mut lines = folders.lines();
        let made = lines.any(|line| {
            let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
            words.starts_with(&folder) && words.ends_with(&format!("0750 root {user}"))
        });
        assert!(made, "{name}: {folder}");
    }
}
