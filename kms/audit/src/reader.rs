//! Reading a log without opening it: proofs for auditors, from the files alone.

use std::io;

use obol_log::{
    BundleError, Checkpoint, CheckpointError, Content, Hash, LogKey, NOTE_MAX, Note, NoteError,
    ProofError, SignatureRefused, TILE_WIDTH, Tile, bundle_entries, consistency_proof,
    inclusion_proof, leaf_hash, tiles_of,
};
use thiserror::Error;

use crate::publish::{CHECKPOINT, WITNESSED};
use crate::storage::Storage;
use crate::tail::{TILE_BYTES, Tail, TileError, Tree, hashes};

/// Longest file of a bundle: 256 entries of 65 535 bytes with their lengths.
pub(crate) const BUNDLE_MAX: usize = TILE_WIDTH as usize * (2 + 65_535);

/// Why a log could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A hash tile.
    #[error(transparent)]
    Tile(TileError),
    /// The system's error.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file that the checkpoint needs is not there.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file that should hold a signed note.
    #[error("{path}: {source}")]
    Note {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: NoteError,
    },
    /// A note that should be a checkpoint.
    #[error("{path}: {source}")]
    Checkpoint {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// The checkpoint is not the log's.
    #[error("{path}: {source}")]
    Signature {
        /// The file.
        path: String,
        /// Why it is not believed.
        source: SignatureRefused,
    },
    /// A bundle.
    #[error("{path}: {source}")]
    Bundle {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: BundleError,
    },
    /// Asked for more than there is.
    #[error("{asked} does not lie in a log of {size} entries")]
    OutOfRange {
        /// Index or size asked for.
        asked: u64,
        /// Entries there are.
        size: u64,
    },
}

/// Proofs over a tail and the tiles before it.
pub struct Proof {
    /// The checkpoint the proof leads to, with whatever cosignatures the log has for it.
    pub note: Note,
    /// Place of the entry.
    pub index: u64,
    /// The entry.
    pub entry: Vec<u8>,
    /// The audit path, from the leaf upwards.
    pub path: Vec<Hash>,
}

/// A log's published files, up to its checkpoint.
pub struct LogReader<'a> {
    storage: &'a dyn Storage,
    note: Note,
    head: Checkpoint,
    tail: Tail,
}

impl<'a> LogReader<'a> {
    /// Reads the last checkpoint and believes it when one of the keys signed it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(storage: &'a dyn Storage, keys: &[LogKey]) -> Result<Self, ReadError> {
        let path = CHECKPOINT.to_owned();
        let found = read_head(storage, CHECKPOINT)?;
        let (head, note) = found.ok_or(ReadError::Missing { path })?;
        let mut refused = None;
        let believed = keys.iter().any(|key| match key.verify(&note) {
            Ok(()) => true,
            Err(source) => {
                refused.get_or_insert(source);
                false
            }
        });
        if let (false, Some(source)) = (believed, refused) {
            let path = CHECKPOINT.to_owned();
            return Err(ReadError::Signature { path, source });
        }
        let mut tail = Tail::read(storage, head.size / TILE_WIDTH).map_err(ReadError::Tile)?;
        for tile in tiles_of(head.size) {
            if tile.content == (Content::Hashes { level: 0 }) {
                let mut found = hashes(&read_partial(storage, tile, TILE_BYTES)?);
                found.truncate(usize::from(tile.width));
                if found.len() != usize::from(tile.width) {
                    let path = tile.path();
                    return Err(ReadError::Tile(TileError::Missing { path }));
                }
                tail.levels[0] = found;
            }
        }
        tail.size = head.size;
        Ok(Self {
            storage,
            note,
            head,
            tail,
        })
    }

    /// The tree head that was believed.
    #[must_use]
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }

    /// The checkpoint, with the cosignatures the log has for it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// An entry with its proof up to the checkpoint.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove(&self, index: u64) -> Result<Proof, ReadError> {
        let size = self.head.size;
        if index >= size {
            return Err(ReadError::OutOfRange { asked: index, size });
        }
        let path = Proof::inclusion(self.storage, &self.tail, index, size)?;
        let mut note = self.note.clone();
        if let Some((head, witnessed)) = read_head(self.storage, WITNESSED)?
            && head == self.head
        {
            let lines = witnessed.signatures().iter().cloned();
            lines.for_each(|line| note.sign(line));
        }
        let entry = self.entry(index)?;
        Ok(Proof {
            note,
            index,
            entry,
            path,
        })
    }

    /// Proves that the tree of `old` entries is a prefix of the checkpoint's.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError> {
        Proof::consistency(self.storage, &self.tail, old, self.head.size)
    }

    fn entry(&self, index: u64) -> Result<Vec<u8>, ReadError> {
        let bundle = index / TILE_WIDTH;
        let full = self.head.size / TILE_WIDTH;
        let width = if bundle < full {
            TILE_WIDTH
        } else {
            self.head.size % TILE_WIDTH
        };
        let tile = Tile {
            content: Content::Entries,
            index: bundle,
            width: u16::try_from(width).expect("at most 256"),
        };
        let path = tile.path();
        let bytes = read_partial(self.storage, tile, BUNDLE_MAX)?;
        let place = usize::try_from(index % TILE_WIDTH).expect("below 256");
        match bundle_entries(&bytes).nth(place) {
            Some(Ok((_, entry))) => Ok(entry.to_vec()),
            Some(Err(source)) => Err(ReadError::Bundle { path, source }),
            None => Err(ReadError::Missing { path }),
        }
    }
}

impl Proof {
    pub(crate) fn inclusion(
        storage: &dyn Storage,
        tail: &Tail,
        index: u64,
        size: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        Ok(inclusion_proof(&tree(storage, tail), index, size)?)
    }

    pub(crate) fn consistency(
        storage: &dyn Storage,
        tail: &Tail,
        old: u64,
        new: u64,
    ) -> Result<Vec<Hash>, ReadError> {
        Ok(consistency_proof(&tree(storage, tail), old, new)?)
    }

    /// The proof as a file that needs nothing else (c2sp.org/tlog-proof).
    #[must_use]
    pub fn to_text(&self) -> String {
        obol_log::proof_text(self.index, &self.path, &self.note)
    }

    /// The hash of the entry in the tree.
    #[must_use]
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.entry)
    }
}

impl ReadError {
    pub(crate) fn demand_size(asked: u64, size: u64) -> Result<(), Self> {
        if asked <= size {
            Ok(())
        } else {
            Err(ReadError::OutOfRange { asked, size })
        }
    }
}

impl From<ProofError<TileError>> for ReadError {
    fn from(error: ProofError<TileError>) -> Self {
        match error {
            ProofError::OutOfRange { small, large } => ReadError::OutOfRange {
                asked: small,
                size: large,
            },
            ProofError::Read(error) => ReadError::Tile(error),
        }
    }
}

fn tree<'a>(storage: &'a dyn Storage, tail: &'a Tail) -> Tree<'a> {
    let unwritten = &[];
    Tree {
        storage,
        tail,
        unwritten,
    }
}

/// A partial file, or the full one that has taken its place since.
fn read_partial(storage: &dyn Storage, tile: Tile, limit: usize) -> Result<Vec<u8>, ReadError> {
    match read(storage, &tile.path(), limit) {
        Err(ReadError::Missing { path }) => {
            let width = TILE_WIDTH as u16;
            let full = Tile { width, ..tile };
            read(storage, &full.path(), limit).map_err(|error| match error {
                ReadError::Missing { .. } => ReadError::Missing { path },
                other => other,
            })
        }
        other => other,
    }
}

fn read(storage: &dyn Storage, path: &str, limit: usize) -> Result<Vec<u8>, ReadError> {
    let bytes = storage
        .read(path, limit)
        .map_err(|source| ReadError::Read {
            path: path.to_owned(),
            source,
        })?;
    bytes.ok_or_else(|| ReadError::Missing {
        path: path.to_owned(),
    })
}

/// A checkpoint file of the log; `None` when there is none.
pub(crate) fn read_head(
    storage: &dyn Storage,
    file: &str,
) -> Result<Option<(Checkpoint, Note)>, ReadError> {
    let path = || file.to_owned();
    let bytes = match storage.read(file, NOTE_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(source) => {
            let path = path();
            return Err(ReadError::Read { path, source });
        }
    };
    let note = Note::parse(&bytes).map_err(|source| ReadError::Note {
        path: path(),
        source,
    })?;
    let head = Checkpoint::parse(note.text()).map_err(|source| ReadError::Checkpoint {
        path: path(),
        source,
    })?;
    Ok(Some((head, note)))
}
