//! What operators follow: the runbook's commands and the systemd unit.
#![allow(clippy::unwrap_used)] // everything here is a test

#[path = "../../../../tests/runbook_page.rs"]
mod runbook_page;
mod steps;
mod unit;

use std::path::{Path, PathBuf};

/// The repository's root.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
