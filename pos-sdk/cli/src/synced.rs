//! What `sync` has stored, watched by a terminal that runs.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use obol_console::two_lines;
use obol_pos_sdk::{Provisioning, Terminal, UnixTime};

use crate::folder::Folder;

/// The trust bundle's and the fare pack's files as the terminal has read them.
pub(crate) struct Synced<'a> {
    folder: &'a Folder,
    provisioning: &'a Provisioning,
    trust: Option<Stamp>,
    fares: Option<Stamp>,
}

/// `sync` replaces a file whole, so another file has another inode, time or both.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

impl<'a> Synced<'a> {
    /// To be made before the terminal reads the files, so that no change falls between.
    pub(crate) fn new(folder: &'a Folder, provisioning: &'a Provisioning) -> Self {
        Self {
            folder,
            provisioning,
            trust: stamp(&trust_path(folder, provisioning)),
            fares: stamp(&folder.fares_path()),
        }
    }

    /// Gives the terminal what has changed. What it cannot take it does without, and says so once:
    /// it goes on with what it has.
    pub(crate) fn refresh(&mut self, terminal: &mut Terminal, now: UnixTime) {
        if changed(&mut self.trust, &trust_path(self.folder, self.provisioning)) {
            report(self.take_trust(terminal, now));
        }
        if changed(&mut self.fares, &self.folder.fares_path()) {
            report(self.take_fares(terminal));
        }
    }

    fn take_trust(&self, terminal: &mut Terminal, now: UnixTime) -> miette::Result<()> {
        if self.provisioning.repository.is_some() {
            if let Some(set) = self.folder.accepted(self.provisioning)? {
                if let Some(fares) = self.folder.fares_of(self.provisioning, &set)? {
                    terminal.charge_by(fares);
                }
                terminal.believe_state(set.state);
            }
        } else if let Some(trust) = self.folder.trust(self.provisioning)? {
            terminal.believe(trust, now)?;
        }
        Ok(())
    }

    fn take_fares(&self, terminal: &mut Terminal) -> miette::Result<()> {
        if let Some(fares) = self.folder.fares()? {
            terminal.charge_by(fares);
        }
        Ok(())
    }
}

fn trust_path(folder: &Folder, provisioning: &Provisioning) -> PathBuf {
    match provisioning.repository {
        Some(_) => folder.accepted_path(),
        None => folder.trust_path(),
    }
}

fn changed(seen: &mut Option<Stamp>, path: &Path) -> bool {
    let found = stamp(path);
    std::mem::replace(seen, found) != found
}

/// `None` for a file that is not there: it has not been synced yet.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: found.ino(),
        modified: (found.mtime(), found.mtime_nsec()),
        size: found.size(),
    })
}

fn report(taken: miette::Result<()>) {
    if let Err(report) = taken {
        eprintln!("{}", two_lines(&report));
    }
}
