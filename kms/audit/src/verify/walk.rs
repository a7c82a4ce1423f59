//! One pass over the entries: hash, compare with each tile, remember where the first doubt is.

use obol_log::{
    Content, Frontier, Hash, TILE_WIDTH, Tile, bundle_entries, encode_bundle, leaf_hash, tile_root,
    tiles_of,
};

use super::files::Files;
use super::{Finding, Head, Report, Torn, VerifyError};
use crate::journal::{End, JOURNAL_MAX, scan};
use crate::publish::{CHECKPOINT, journal_path};
use crate::reader::BUNDLE_MAX;
use crate::storage::Storage;
use crate::tail::{TILE_BYTES, bytes_of, hashes};

pub(crate) fn compare(
    storage: &dyn Storage,
    origin: &str,
    files: &Files,
    heads: &[Head],
) -> Result<Report, VerifyError> {
    let published = heads.iter().find(|head| head.known == CHECKPOINT);
    let published = published.map(|head| head.checkpoint.size);
    let bundles = match (files.journal, published) {
        (Some(bundle), _) => bundle,
        (None, Some(size)) => size / TILE_WIDTH,
        (None, None) => return Err(VerifyError::NoLog),
    };
    let mut walk = Walk::new(storage, files, heads);
    (0..bundles).try_for_each(|index| walk.full_bundle(index))?;
    let torn = match files.journal {
        Some(bundle) => walk.journal(origin, bundle)?,
        None => walk.published_rest(published.unwrap_or(0))?,
    };
    walk.judge()?;
    walk.upper_levels()?;
    walk.demand_tiles(published.unwrap_or(0))?;
    let witnessed = heads.iter().filter(|head| head.witnessed);
    Ok(Report {
        entries: walk.by_entries.size(),
        checkpoint: published,
        witnessed: witnessed.map(|head| head.checkpoint.size).max(),
        files: files.count,
        torn,
    })
}

/// Tiles of the largest tree reach no higher.
const LEVEL_MAX: u8 = 7;

struct Walk<'a> {
    storage: &'a dyn Storage,
    files: &'a Files,
    heads: &'a [Head],
    /// The tree of the entries.
    by_entries: Frontier,
    /// Its roots at the sizes of the heads.
    roots: Vec<Option<Hash>>,
    /// The hashes of level 1, from the entries.
    level1: Vec<Hash>,
    doubt: Option<Doubt>,
    /// The first file that is not what the entries give, which counts when the entries are good.
    wrong_file: Option<Finding>,
}

/// The first place where an entry and a tile of level 0 differ: one of both was changed.
struct Doubt {
    index: u64,
    entry: Finding,
    tile: Finding,
}

/// A bundle's entries and where they stand.
struct Bundle<'a> {
    index: u64,
    path: String,
    /// Each entry with the offset of its bytes in the file.
    entries: Vec<(usize, &'a [u8])>,
}

impl<'a> Walk<'a> {
    fn new(storage: &'a dyn Storage, files: &'a Files, heads: &'a [Head]) -> Self {
        let mut walk = Self {
            storage,
            files,
            heads,
            by_entries: Frontier::default(),
            roots: vec![None; heads.len()],
            level1: Vec::new(),
            doubt: None,
            wrong_file: None,
        };
        walk.note_roots();
        walk
    }

    fn full_bundle(&mut self, index: u64) -> Result<(), VerifyError> {
        let tile = full(Content::Entries, index);
        self.demand_file(full(Content::Hashes { level: 0 }, index))?;
        self.bundle_file(tile, TILE_WIDTH)
    }

    /// The entries after the last full bundle, from the write-ahead file.
    fn journal(&mut self, origin: &str, index: u64) -> Result<Option<Torn>, VerifyError> {
        let path = journal_path(index);
        let bytes = self.read(&path, JOURNAL_MAX)?;
        let scan = scan(&bytes, origin, index);
        let torn = match scan.end {
            End::Clean => None,
            End::Torn { at } => Some(Torn {
                path: path.clone(),
                at,
            }),
            End::Damaged { at, rule } => {
                let entries = index * TILE_WIDTH + scan.entries.len() as u64;
                return Err(Finding::Journal {
                    path,
                    at,
                    entries,
                    rule,
                }
                .into());
            }
        };
        let entries = scan.entries.iter().map(|entry| (0, &**entry)).collect();
        self.bundle(&Bundle {
            index,
            path,
            entries,
        })?;
        Ok(torn)
    }

    /// The entries after the last full bundle in a copy without a write-ahead file.
    fn published_rest(&mut self, size: u64) -> Result<Option<Torn>, VerifyError> {
        let partial = tiles_of(size).find(|tile| tile.content == Content::Entries);
        if let Some(tile) = partial {
            self.bundle_file(tile, u64::from(tile.width))?;
        }
        Ok(None)
    }

    fn bundle_file(&mut self, tile: Tile, width: u64) -> Result<(), VerifyError> {
        let path = tile.path();
        let bytes = self.read(&path, BUNDLE_MAX)?;
        let entries: Vec<_> = bundle_entries(&bytes).map_while(Result::ok).collect();
        let end = entries.last().map_or(0, |(at, entry)| at + entry.len());
        let count = entries.len() as u64;
        let index = tile.index;
        let bundle = Bundle {
            index,
            path: path.clone(),
            entries,
        };
        self.bundle(&bundle)?;
        if count == width && end == bytes.len() {
            return Ok(());
        }
        // A length was changed: the entry behind it is the first that hashes to something else.
        let finding = match self.doubt.take() {
            Some(doubt) => doubt.entry,
            None => Finding::Entry {
                index: index * TILE_WIDTH + count.min(width),
                path,
                at: end,
            },
        };
        Err(finding.into())
    }

    fn bundle(&mut self, bundle: &Bundle<'_>) -> Result<(), VerifyError> {
        let claimed_by = self.claiming_tile(bundle.index);
        let claimed = match &claimed_by {
            Some(tile) => hashes(&self.read(&tile.path(), TILE_BYTES)?),
            None => Vec::new(),
        };
        let mut leaves = Vec::new();
        for (place, (at, entry)) in bundle.entries.iter().enumerate() {
            let hash = leaf_hash(entry);
            let claim = claimed.get(place).copied().unwrap_or(hash);
            if claim != hash
                && self.doubt.is_none()
                && let Some(tile) = claimed_by
            {
                let byte = claim.0.iter().zip(hash.0).position(|(a, b)| *a != b);
                self.doubt = Some(Doubt {
                    index: bundle.index * TILE_WIDTH + place as u64,
                    entry: Finding::Entry {
                        index: bundle.index * TILE_WIDTH + place as u64,
                        path: bundle.path.clone(),
                        at: *at,
                    },
                    tile: Finding::Byte {
                        path: tile.path(),
                        at: place * 32 + byte.unwrap_or(0),
                    },
                });
            }
            leaves.push(hash);
            self.by_entries.push(hash);
            self.note_roots();
        }
        self.level1.extend(tile_root(&leaves));
        let entries: Vec<_> = bundle.entries.iter().map(|(_, entry)| *entry).collect();
        self.files_of(bundle, &entries, &leaves)
    }

    /// The level 0 tile of a bundle with the most hashes.
    fn claiming_tile(&self, index: u64) -> Option<Tile> {
        self.tiles_at(Content::Hashes { level: 0 }, index).last()
    }

    fn tiles_at(&self, content: Content, index: u64) -> impl Iterator<Item = Tile> + use<'a> {
        let at = move |width| Tile {
            content,
            index,
            width,
        };
        let range = at(0)..=at(TILE_WIDTH as u16);
        self.files.tiles.range(range).copied()
    }

    /// Compares each file that repeats what the bundle holds.
    fn files_of(
        &mut self,
        bundle: &Bundle<'_>,
        entries: &[&[u8]],
        leaves: &[Hash],
    ) -> Result<(), VerifyError> {
        for tile in self.tiles_at(Content::Entries, bundle.index) {
            let first = entries.get(..usize::from(tile.width));
            let expected = first.and_then(encode_bundle);
            self.compare(tile, expected, BUNDLE_MAX)?;
        }
        for tile in self.tiles_at(Content::Hashes { level: 0 }, bundle.index) {
            let first = leaves.get(..usize::from(tile.width));
            self.compare(tile, first.map(bytes_of), TILE_BYTES)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        tile: Tile,
        expected: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<(), VerifyError> {
        let path = tile.path();
        let Some(expected) = expected else {
            let found = Finding::Unexpected { path };
            self.wrong_file.get_or_insert(found);
            return Ok(());
        };
        let found = self.read(&path, limit)?;
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        let finding = match differs {
            Some(at) => Finding::Byte { path, at },
            None if found.len() != expected.len() => Finding::Length {
                path,
                found: found.len(),
                expected: expected.len(),
            },
            None => return Ok(()),
        };
        self.wrong_file.get_or_insert(finding);
        Ok(())
    }

    /// The signed heads say whether the entries are good, and so whether an entry or a file is to
    /// blame.
    fn judge(&mut self) -> Result<(), VerifyError> {
        let doubt = self.doubt.take();
        let mut covered = 0;
        for (head, root) in self.heads.iter().zip(&self.roots) {
            let (known, size) = (head.known.clone(), head.checkpoint.size);
            let Some(found) = *root else {
                let found = self.by_entries.size();
                return Err(Finding::RolledBack { found, known, size }.into());
            };
            let expected = head.checkpoint.root;
            if found == expected {
                covered = covered.max(size);
                continue;
            }
            let finding = match doubt {
                Some(doubt) if doubt.index < size => doubt.entry,
                _ => Finding::Rewritten {
                    size,
                    found,
                    known,
                    expected,
                },
            };
            return Err(finding.into());
        }
        match (doubt, self.wrong_file.take()) {
            (Some(doubt), _) if doubt.index >= covered && !self.in_journal(doubt.index) => {
                Err(doubt.entry.into())
            }
            (_, Some(file)) => Err(file.into()),
            (Some(doubt), None) => Err(doubt.tile.into()),
            (None, None) => Ok(()),
        }
    }

    /// The write-ahead file checks itself, so that a tile that differs from it is to blame.
    fn in_journal(&self, index: u64) -> bool {
        self.files.journal == Some(index / TILE_WIDTH)
    }

    /// Tiles of level 1 and above.
    fn upper_levels(&mut self) -> Result<(), VerifyError> {
        let mut level_hashes = std::mem::take(&mut self.level1);
        for level in 1..=LEVEL_MAX {
            let content = Content::Hashes { level };
            let whole = level_hashes.chunks_exact(TILE_WIDTH as usize);
            let next: Vec<_> = whole.filter_map(tile_root).collect();
            for index in 0..next.len() as u64 {
                self.demand_file(full(content, index))?;
            }
            let zero = full(content, 0);
            let files = self.files.tiles.range(Tile { width: 0, ..zero }..);
            for tile in files.take_while(|tile| tile.content == content) {
                let start = usize::try_from(tile.index * TILE_WIDTH).unwrap_or(usize::MAX);
                let range = start..start.saturating_add(usize::from(tile.width));
                let expected = level_hashes.get(range).map(bytes_of);
                self.compare(*tile, expected, TILE_BYTES)?;
            }
            level_hashes = next;
        }
        self.wrong_file
            .take()
            .map_or(Ok(()), |file| Err(file.into()))
    }

    /// What a checkpoint needs is there, or the full tile that has taken its place.
    fn demand_tiles(&self, size: u64) -> Result<(), VerifyError> {
        tiles_of(size).try_for_each(|tile| {
            if self.files.tiles.contains(&full(tile.content, tile.index)) {
                Ok(())
            } else {
                self.demand_file(tile)
            }
        })
    }

    fn demand_file(&self, tile: Tile) -> Result<(), VerifyError> {
        if self.files.tiles.contains(&tile) {
            Ok(())
        } else {
            let path = tile.path();
            Err(Finding::Missing { path }.into())
        }
    }

    fn note_roots(&mut self) {
        let size = self.by_entries.size();
        for (head, root) in self.heads.iter().zip(&mut self.roots) {
            if head.checkpoint.size == size {
                *root = Some(self.by_entries.root());
            }
        }
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, VerifyError> {
        let read = self.storage.read(path, limit);
        let path = path.to_owned();
        match read {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Finding::Missing { path }.into()),
            Err(source) => Err(VerifyError::Read { path, source }),
        }
    }
}

fn full(content: Content, index: u64) -> Tile {
    Tile {
        content,
        index,
        width: TILE_WIDTH as u16,
    }
}
