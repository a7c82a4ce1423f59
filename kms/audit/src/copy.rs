//! A copy of a log that is in use.

use std::io;

use obol_log::{Checkpoint, Content, NOTE_MAX, Note, TILE_WIDTH, Tile};

use crate::journal::JOURNAL_MAX;
use crate::open::journal_bundle;
use crate::publish::{CHECKPOINT, PART, WITNESSED};
use crate::reader::BUNDLE_MAX;
use crate::storage::Storage;

/// Copies the files of a log into an empty folder, each synced, and returns how many there were.
///
/// A daemon may append meanwhile. Tree heads come first, then the write-ahead file, then the tiles:
/// what a head covers is copied after it, and a bundle's leaves are in its write-ahead file until
/// its tiles are durable. A file that is gone when it is read has found its place in a later one, and
/// partial tiles of a later head than the copied one are left out. The copy may still have caught a moment between two files, so whoever makes one checks it
/// ([`verify`](crate::verify())) and makes another if it does not hold.
///
/// # Errors
/// The system's.
pub fn copy(from: &dyn Storage, to: &dyn Storage) -> io::Result<u64> {
    let mut count = 0;
    for name in [WITNESSED, CHECKPOINT] {
        count += file(from, to, name, NOTE_MAX)?;
    }
    for name in from.list("")? {
        if journal_bundle(&name).is_some() {
            count += file(from, to, &name, JOURNAL_MAX)?;
        }
    }
    count += folder(from, to, "tile", head(to)?)?;
    to.sync_folder("")?;
    Ok(count)
}

/// Leaves under the copied tree head; what is no tree head is for the check to name.
fn head(copied: &dyn Storage) -> io::Result<u64> {
    let bytes = copied.read(CHECKPOINT, NOTE_MAX)?;
    let note = bytes.and_then(|bytes| Note::parse(&bytes).ok());
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    Ok(checkpoint.map_or(0, |checkpoint| checkpoint.size))
}

/// A partial tile over leaves behind the head.
fn beyond(path: &str, head: u64) -> bool {
    let Some(tile) = Tile::parse(path).filter(|tile| u64::from(tile.width) < TILE_WIDTH) else {
        return false;
    };
    let each = match tile.content {
        Content::Entries => Some(1),
        Content::Hashes { level } => TILE_WIDTH.checked_pow(u32::from(level)),
    };
    let width = u64::from(tile.width);
    let end = each.and_then(|each| (tile.index * TILE_WIDTH + width).checked_mul(each));
    end.is_none_or(|end| end > head)
}

/// `entries` before the levels of hashes over them.
fn folder(from: &dyn Storage, to: &dyn Storage, path: &str, head: u64) -> io::Result<u64> {
    let mut names = from.list(path)?;
    names.sort_by_key(|name| name != "entries/");
    if names.is_empty() {
        return Ok(0);
    }
    to.create_folder(path)?;
    let mut count = 0;
    for name in names {
        let inner = format!("{path}/{name}");
        count += match inner.strip_suffix('/') {
            Some(inner) => folder(from, to, inner, head)?,
            None if beyond(&inner, head) => 0,
            None => file(from, to, &inner, BUNDLE_MAX)?,
        };
    }
    to.sync_folder(path)?;
    Ok(count)
}

fn file(from: &dyn Storage, to: &dyn Storage, path: &str, limit: usize) -> io::Result<u64> {
    if path.ends_with(PART) {
        return Ok(0);
    }
    let Some(bytes) = from.read(path, limit)? else {
        return Ok(0);
    };
    let mut copied = to.create(path)?;
    copied.append(&bytes)?;
    copied.sync()?;
    Ok(1)
}
