//! The right edge of the tree in memory: the hashes of each level's unfinished tile, and the
//! entries of the unfinished bundle. Everything left of it stands in full tiles.

use std::io;

use obol_log::{Content, Hash, NodeReader, TILE_WIDTH, Tile, leaf_hash, tile_root};
use thiserror::Error;

use crate::storage::Storage;

pub(crate) const TILE_BYTES: usize = 32 * TILE_WIDTH as usize;

/// Hashes and entries that no full tile holds yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) size: u64,
    /// Level by level, at most 255 hashes each between calls.
    pub(crate) levels: Vec<Vec<Hash>>,
    pub(crate) entries: Vec<Vec<u8>>,
}

/// A hash tile that was completed.
pub(crate) struct Completed {
    pub(crate) tile: Tile,
    pub(crate) hashes: Vec<Hash>,
}

/// Why a tile could not be read.
#[derive(Debug, Error)]
pub enum TileError {
    /// The system's error.
    #[error("{path} cannot be read")]
    Read {
        /// The tile's path.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is missing or has another length.
    #[error("{path} is missing or has not 256 hashes")]
    Missing {
        /// The tile's path.
        path: String,
    },
}

impl Tail {
    /// The edge of a tree of `bundles` full bundles, from the full tiles.
    pub(crate) fn read(storage: &dyn Storage, bundles: u64) -> Result<Self, TileError> {
        let mut levels = vec![Vec::new()];
        let mut full_below = bundles;
        for level in 0_u8.. {
            if full_below == 0 {
                break;
            }
            let start = full_below - full_below % TILE_WIDTH;
            let roots = (start..full_below).map(|index| {
                let hashes = full_tile(storage, level, index)?;
                Ok(tile_root(&hashes).expect("a full tile has 256 hashes"))
            });
            levels.push(roots.collect::<Result<_, TileError>>()?);
            full_below /= TILE_WIDTH;
        }
        Ok(Self {
            size: bundles * TILE_WIDTH,
            levels,
            entries: Vec::new(),
        })
    }

    /// Adds an entry; the caller takes the tiles away when the bundle is full.
    pub(crate) fn push(&mut self, entry: Vec<u8>) {
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        self.levels[0].push(leaf_hash(&entry));
        self.entries.push(entry);
        self.size += 1;
    }

    /// Takes the hash tiles that the last entry completed, lowest level first.
    pub(crate) fn take_completed(&mut self) -> Vec<Completed> {
        let mut completed = Vec::new();
        for level in 0_u8.. {
            let at = usize::from(level);
            if (self.levels[at].len() as u64) < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(&mut self.levels[at]);
            let root = tile_root(&hashes).expect("a full tile has 256 hashes");
            let index = (self.size >> (8 * u32::from(level))) / TILE_WIDTH - 1;
            let tile = Tile {
                content: Content::Hashes { level },
                index,
                width: TILE_WIDTH as u16,
            };
            completed.push(Completed { tile, hashes });
            if self.levels.len() == at + 1 {
                self.levels.push(Vec::new());
            }
            self.levels[at + 1].push(root);
        }
        completed
    }
}

/// The tree: full tiles from the storage, the rest from the tail.
pub(crate) struct Tree<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) tail: &'a Tail,
    /// Tiles that are full but not written yet.
    pub(crate) unwritten: &'a [Completed],
}

impl NodeReader for Tree<'_> {
    type Error = TileError;

    fn node(&self, level: u32, index: u64) -> Result<Hash, TileError> {
        let tile_level = u8::try_from(level / 8).expect("a level below 62");
        let count = 1_usize << (level % 8);
        let first = index << (level % 8);
        let (tile, offset) = (first / TILE_WIDTH, (first % TILE_WIDTH) as usize);
        let full = (self.tail.size >> (8 * u32::from(tile_level))) / TILE_WIDTH;
        let content = Content::Hashes { level: tile_level };
        let unwritten = self
            .unwritten
            .iter()
            .find(|fresh| fresh.tile.content == content && fresh.tile.index == tile);
        let stored;
        let hashes = if let Some(fresh) = unwritten {
            &fresh.hashes
        } else if tile < full {
            stored = full_tile(self.storage, tile_level, tile)?;
            &stored
        } else {
            &self.tail.levels[usize::from(tile_level)]
        };
        Ok(perfect(&hashes[offset..offset + count]))
    }
}

/// The root over a power of two of hashes.
fn perfect(hashes: &[Hash]) -> Hash {
    let mut frontier = obol_log::Frontier::default();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}

fn full_tile(storage: &dyn Storage, level: u8, index: u64) -> Result<Vec<Hash>, TileError> {
    let tile = Tile {
        content: Content::Hashes { level },
        index,
        width: TILE_WIDTH as u16,
    };
    let path = tile.path();
    match storage.read(&path, TILE_BYTES) {
        Err(source) => Err(TileError::Read { path, source }),
        Ok(Some(bytes)) if bytes.len() == TILE_BYTES => Ok(hashes(&bytes)),
        Ok(_) => Err(TileError::Missing { path }),
    }
}

pub(crate) fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, _) = bytes.as_chunks::<32>();
    hashes.iter().map(|hash| Hash(*hash)).collect()
}

pub(crate) fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
