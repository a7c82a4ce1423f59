//! The release: its tarball, its units and configuration files, and the runbook that deploys it.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod configurations;
mod runbook;
#[path = "../runbook_page.rs"]
mod runbook_page;
mod tarball;
mod units;
mod unpacking;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the shipped binaries were built: `target/debug`, above this test's own folder.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

/// Standard output of a command that must succeed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command said on standard error.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
