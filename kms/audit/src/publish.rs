//! Writing the files that others read: whole or not at all, and durable before anything relies on
//! them.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard};

use obol_log::{Content, TILE_WIDTH, Tile, encode_bundle, tiles_of};

use crate::storage::{Storage, StoredFile};
use crate::tail::{Completed, Tail, bytes_of};

/// Files that are being written end so, and are no part of the log.
pub(crate) const PART: &str = ".part";

/// Writes into one storage; knows which folders and partial tiles are durable already.
pub(crate) struct Publisher {
    durable: Mutex<HashSet<String>>,
}

/// Folders whose names are not durable yet.
type Unsynced = BTreeSet<String>;

impl Publisher {
    /// A publisher for a log with `bundles` full bundles and a checkpoint of `published` entries. The
    /// tiles of both were durable before the files that tell of them were made.
    pub(crate) fn new(bundles: u64, published: u64) -> Self {
        let last = bundles.checked_sub(1).map(|index| Tile {
            content: Content::Entries,
            index,
            width: TILE_WIDTH as u16,
        });
        let level0 = last.map(|tile| Tile {
            content: Content::Hashes { level: 0 },
            ..tile
        });
        let full = last.into_iter().chain(level0).map(|tile| tile.path());
        let partial: Vec<_> = tiles_of(published).map(|tile| tile.path()).collect();
        let mut durable: HashSet<String> = partial.iter().cloned().collect();
        for path in full.chain(partial) {
            durable.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        Self {
            durable: Mutex::new(durable),
        }
    }

    /// Forgets what it knew for what another knows.
    pub(crate) fn begin_again(&self, fresh: Publisher) {
        let mut fresh = fresh.durable();
        std::mem::swap(&mut *self.durable(), &mut *fresh);
    }

    /// Writes a file in the log's own folder, in the place of the one that is there, and leaves it
    /// open.
    pub(crate) fn write(
        storage: &dyn Storage,
        name: &str,
        bytes: &[u8],
    ) -> io::Result<Box<dyn StoredFile>> {
        let file = put(storage, name, bytes)?;
        storage.sync_folder("")?;
        Ok(file)
    }

    /// Writes a bundle and the hash tiles it completed.
    pub(crate) fn full_tiles(
        &self,
        storage: &dyn Storage,
        bundle: u64,
        entries: &[Vec<u8>],
        completed: &[Completed],
    ) -> io::Result<()> {
        let bundle = Tile {
            content: Content::Entries,
            index: bundle,
            width: TILE_WIDTH as u16,
        };
        let mut unsynced = Unsynced::new();
        self.tile(storage, bundle, &bundle_of(entries), &mut unsynced)?;
        for Completed { tile, hashes } in completed {
            self.tile(storage, *tile, &bytes_of(hashes), &mut unsynced)?;
        }
        sync_all(storage, &unsynced)?;
        self.durable().retain(|path| !path.contains(".p"));
        remove_partial(storage, &bundle.path())?;
        let mut tiles = completed.iter().map(|completed| completed.tile.path());
        tiles.try_for_each(|path| remove_partial(storage, &path))
    }

    /// Writes the partial tiles that a checkpoint of the tail's size needs.
    pub(crate) fn partial_tiles(&self, storage: &dyn Storage, tail: &Tail) -> io::Result<()> {
        let mut unsynced = Unsynced::new();
        for tile in tiles_of(tail.size) {
            if !self.durable().insert(tile.path()) {
                continue;
            }
            let bytes = match tile.content {
                Content::Entries => bundle_of(&tail.entries),
                Content::Hashes { level } => bytes_of(&tail.levels[usize::from(level)]),
            };
            self.tile(storage, tile, &bytes, &mut unsynced)?;
        }
        sync_all(storage, &unsynced)
    }

    fn tile(
        &self,
        storage: &dyn Storage,
        tile: Tile,
        bytes: &[u8],
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        let path = tile.path();
        let (folder, _) = path.rsplit_once('/').expect("tiles lie in folders");
        self.make_folder(storage, folder, unsynced)?;
        unsynced.insert(folder.to_owned());
        put(storage, &path, bytes).map(drop)
    }

    fn make_folder(
        &self,
        storage: &dyn Storage,
        folder: &str,
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        let mut durable = self.durable();
        let mut parent = "";
        for (at, _) in folder.match_indices('/').chain([(folder.len(), "")]) {
            let path = &folder[..at];
            if durable.insert(path.to_owned()) {
                // A folder that is there may be left from before a crash, its name not yet durable.
                storage.create_folder(path)?;
                unsynced.insert(parent.to_owned());
            }
            parent = path;
        }
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<String>> {
        self.durable.lock().expect("no holder of this lock panics")
    }
}

/// Writes a file whole; only its name is not durable.
fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) -> io::Result<Box<dyn StoredFile>> {
    let part = format!("{path}{PART}");
    let mut file = storage.create(&part)?;
    if !bytes.is_empty() {
        file.append(bytes)?;
        file.sync()?;
    }
    storage.rename(&part, path)?;
    Ok(file)
}

fn sync_all(storage: &dyn Storage, folders: &Unsynced) -> io::Result<()> {
    folders
        .iter()
        .try_for_each(|folder| storage.sync_folder(folder))
}

/// Partial tiles may go once the full one is there (c2sp.org/tlog-tiles). Not synced: those that
/// come back after a crash are as true as they were.
fn remove_partial(storage: &dyn Storage, full: &str) -> io::Result<()> {
    let folder = format!("{full}.p");
    for name in storage.list(&folder)? {
        storage.remove(&format!("{folder}/{name}"))?;
    }
    storage.remove(&folder)
}

fn bundle_of(entries: &[Vec<u8>]) -> Vec<u8> {
    encode_bundle(entries).expect("entries have at most LEAF_MAX bytes")
}

/// The path of the write-ahead file of a bundle.
pub(crate) fn journal_path(bundle: u64) -> String {
    format!("{JOURNAL}{bundle}")
}

pub(crate) const JOURNAL: &str = "write-ahead.";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const WITNESSED: &str = "witnessed";
pub(crate) const LOCK: &str = "lock";
