//! SQLite on a [`FaultFs`]: a VFS (sqlite.org/c3ref/vfs.html) whose files are in memory and lose
//! what was not synced. It is the default VFS of the process once [`mount`] was called.
//!
//! Locks and shared memory are those of one process: as many connections as a test likes, and none
//! of another process. They do not survive a cut, since a cut disk is mounted as another one.

#![allow(unsafe_code)] // SQLite calls back through C pointers; nothing else here is unsafe

mod files;
mod locks;
mod vfs;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::FaultFs;
use locks::{Locks, Shared};

/// A mounted disk: its files, and what connections to them share.
struct Disk {
    fs: FaultFs,
    locks: Mutex<BTreeMap<String, Locks>>,
    shared: Mutex<BTreeMap<String, Shared>>,
}

static DISKS: Mutex<BTreeMap<String, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// Lets SQLite find `fs` at `folder`, in the place of a disk that was there: connections that are
/// open go on with the old one. Of a path below `folder` only the last part counts.
///
/// # Panics
/// When SQLite does not take the VFS.
pub fn mount(folder: &Path, fs: &FaultFs) {
    vfs::register();
    let disk = Disk {
        fs: fs.clone(),
        locks: Mutex::default(),
        shared: Mutex::default(),
    };
    let folder = folder.to_string_lossy().into_owned();
    held(&DISKS).insert(folder, Arc::new(disk));
}

/// The disk that a path lies on, and the file's name there.
fn disk_of(path: &str) -> Option<(Arc<Disk>, String)> {
    let (folder, name) = path.rsplit_once('/')?;
    let disk = held(&DISKS).get(folder).cloned()?;
    Some((disk, name.to_owned()))
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
