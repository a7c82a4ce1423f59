//! The command as a person meets it.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn issuer(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obol-issuer"));
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn make_identity(folder: &Path, name: &str) -> Output {
    let files = ["--key", "tls.key", "--request", "tls.csr"];
    let named = [
        "identity",
        "--name",
        name,
        "--host",
        "localhost",
        "--host",
        "127.0.0.1",
    ];
    issuer(folder, &[&named[..], &files[..]].concat())
}

fn two_lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_identity_is_a_private_key_and_a_request_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    assert!(make_identity(folder.path(), "main").status.success());
    let key = folder.path().join("tls.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();

    let again = make_identity(folder.path(), "main");
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(two_lines(&again)[0], "error: tls.key exists already");
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn a_request_that_cannot_be_written_leaves_no_key_that_would_block_the_next_try() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tls.csr"), "theirs").unwrap();
    let refused = make_identity(folder.path(), "main");
    assert_eq!(two_lines(&refused)[0], "error: tls.csr exists already");
    assert!(!folder.path().join("tls.key").exists());
    std::fs::remove_file(folder.path().join("tls.csr")).unwrap();
    assert!(make_identity(folder.path(), "main").status.success());
}

#[test]
fn a_name_that_cannot_be_certified_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let refused = make_identity(folder.path(), "Main Street");
    assert_eq!(refused.status.code(), Some(2));
    let lines = two_lines(&refused);
    assert_eq!(
        lines[0],
        "error: \"obol://issuer/Main Street\" is not obol://ROLE/NAME"
    );
    assert_eq!(
        lines[1],
        "help: give a name of 1 to 32 characters of a-z 0-9 -"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_configuration_that_is_not_there_or_not_right_is_two_lines_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let missing = issuer(folder.path(), &["serve", "--config", "issuer.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    let lines = two_lines(&missing);
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("error: cannot read issuer.toml: No such file"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("help: "), "{lines:?}");

    std::fs::write(folder.path().join("issuer.toml"), b"listen = \"nowhere\"").unwrap();
    let wrong = issuer(folder.path(), &["serve", "--config", "issuer.toml"]);
    assert_eq!((wrong.status.code(), two_lines(&wrong).len()), (Some(2), 2));
}
