//! C2SP tlog-tiles: the tree as files of up to 256 hashes, the entries as bundles of up to 256.

use alloc::{format, string::String, vec::Vec};
use core::str::FromStr;

use thiserror::Error;

use crate::checkpoint::parse_decimal;
use crate::hash::Hash;
use crate::tree::{SIZE_MAX, perfect_root};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of tiles below a root of [`SIZE_MAX`] leaves.
const LEVEL_MAX: u8 = 7;

/// What a file of the tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// The leaves themselves.
    Entries,
    /// Hashes over 256^level leaves each.
    Hashes {
        /// 0 for leaf hashes.
        level: u8,
    },
}

/// One file of the tree: full when its width is 256, partial otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub content: Content,
    /// Its place in its level.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to 256.
    pub width: u16,
}

impl Tile {
    /// Its path below the log's folder: `tile/0/x001/234.p/5`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = match self.content {
            Content::Entries => String::from("tile/entries/"),
            Content::Hashes { level } => format!("tile/{level}/"),
        };
        let mut groups = Vec::new();
        let mut rest = self.index;
        while groups.is_empty() || rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        while let Some(group) = groups.pop() {
            let last = groups.is_empty();
            path.push_str(&if last {
                format!("{group:03}")
            } else {
                format!("x{group:03}/")
            });
        }
        if u64::from(self.width) < TILE_WIDTH {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    /// The tile of a path; `None` unless the path is exactly as [`Tile::path`] writes it.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let content = match kind {
            "entries" => Content::Entries,
            level => Content::Hashes {
                level: u8::from_str(level).ok()?,
            },
        };
        let (digits, width) = match rest.split_once(".p/") {
            Some((digits, width)) => (digits, parse_decimal(width)?),
            None => (rest, TILE_WIDTH),
        };
        let digits = digits.replace(['/', 'x'], "");
        let tile = Self {
            content,
            index: u64::from_str(&digits).ok()?,
            width: u16::try_from(width).ok()?,
        };
        let known = match content {
            Content::Entries => true,
            Content::Hashes { level } => level <= LEVEL_MAX,
        };
        let bounded = known && tile.width > 0 && tile.index <= SIZE_MAX / TILE_WIDTH;
        (bounded && tile.path() == path).then_some(tile)
    }
}

/// The partial files that a checkpoint of `size` leaves needs, lowest level first; full tiles
/// stand before them.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    let partial = move |content, shift: u32| {
        let count = size >> shift;
        let width = u16::try_from(count % TILE_WIDTH).expect("a remainder of 256");
        let index = count / TILE_WIDTH;
        (width > 0).then_some(Tile {
            content,
            index,
            width,
        })
    };
    let hashes = move |level: u8| partial(Content::Hashes { level }, 8 * u32::from(level));
    partial(Content::Entries, 0)
        .into_iter()
        .chain((0..=LEVEL_MAX).filter_map(hashes))
}

/// The root over the hashes of a full tile; `None` for any other number of hashes.
#[must_use]
pub fn tile_root(hashes: &[Hash]) -> Option<Hash> {
    (hashes.len() as u64 == TILE_WIDTH).then(|| perfect_root(hashes))
}

/// Why bytes are no bundle of entries.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("byte {at}: entry {entry} of the bundle is cut short")]
pub struct BundleError {
    /// Where the entry's length stands.
    pub at: usize,
    /// Its place in the bundle.
    pub entry: usize,
}

/// Entries as a bundle: each with its length in two bytes, big-endian. `None` when an entry has
/// more than 65 535 bytes.
#[must_use]
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Option<Vec<u8>> {
    let mut bundle = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.as_ref().len()).ok()?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry.as_ref());
    }
    Some(bundle)
}

/// The entries of a bundle with the offset of each one's bytes, until its end or its first error.
pub fn bundle_entries(bundle: &[u8]) -> impl Iterator<Item = Result<(usize, &[u8]), BundleError>> {
    let mut at = 0;
    let mut entry = 0;
    core::iter::from_fn(move || {
        let rest = bundle.get(at..).filter(|rest| !rest.is_empty())?;
        let error = BundleError { at, entry };
        let found = rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.get(..usize::from(u16::from_be_bytes(*length))));
        let Some(bytes) = found else {
            at = bundle.len();
            return Some(Err(error));
        };
        let start = at + 2;
        at = start + bytes.len();
        entry += 1;
        Some(Ok((start, bytes)))
    })
}
