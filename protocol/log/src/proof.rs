use alloc::{format, string::String, vec::Vec};

use data_encoding::BASE64;

use thiserror::Error;

use crate::base64;
use crate::checkpoint::parse_size;
use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::note::Note;
use crate::tree::{NodeReader, SIZE_MAX, range_root, split};

/// The longest proof: one hash per level, and one more in a consistency proof.
pub const PROOF_MAX: usize = 63;

const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why no proof was made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProofError<E> {
    /// The leaf or the smaller tree does not lie in the larger one.
    #[error("{small} does not lie in a tree of {large} leaves")]
    OutOfRange {
        /// Index of the leaf, or size of the smaller tree.
        small: u64,
        /// Size of the larger tree.
        large: u64,
    },
    /// A hash could not be read.
    #[error(transparent)]
    Read(E),
}

/// Why a proof is not believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProofRefused {
    /// The leaf or the smaller tree does not lie in the larger one.
    #[error("{small} does not lie in a tree of {large} leaves")]
    OutOfRange {
        /// Index of the leaf, or size of the smaller tree.
        small: u64,
        /// Size of the larger tree.
        large: u64,
    },
    /// The proof has not exactly the hashes it needs.
    #[error("the proof has {found} hashes, which is not what these sizes need")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// The hashes lead to another root than the one given.
    #[error("the proof leads to root {found}, not to {expected}")]
    Root {
        /// What the proof computes.
        found: Hash,
        /// What was given.
        expected: Hash,
    },
}

/// The audit path of leaf `index` in the tree of `size` leaves: PATH(m, D\[n\]) of RFC 6962 section
/// 2.1.1, from the leaf upwards.
///
/// # Errors
/// [`ProofError`].
pub fn inclusion_proof<R: NodeReader + ?Sized>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    in_range(index, index < size, size)?;
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        let sibling = if index < middle {
            (middle, end)
        } else {
            (start, middle)
        };
        path.push(range_root(reader, sibling.0, sibling.1).map_err(ProofError::Read)?);
        (start, end) = if index < middle {
            (start, middle)
        } else {
            (middle, end)
        };
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves: PROOF(m, D\[n\])
/// of RFC 6962 section 2.1.2. Empty when `old` is 0 or `new`.
///
/// # Errors
/// [`ProofError`].
pub fn consistency_proof<R: NodeReader + ?Sized>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    in_range(old, old <= new, new)?;
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end) = (0, new);
    let mut proof = Vec::new();
    while end != old {
        let middle = start + split(end - start);
        let sibling = if old <= middle {
            (middle, end)
        } else {
            (start, middle)
        };
        proof.push(range_root(reader, sibling.0, sibling.1).map_err(ProofError::Read)?);
        (start, end) = if old <= middle {
            (start, middle)
        } else {
            (middle, end)
        };
    }
    if start != 0 {
        proof.push(range_root(reader, start, end).map_err(ProofError::Read)?);
    }
    proof.reverse();
    Ok(proof)
}

fn in_range<E>(small: u64, inside: bool, large: u64) -> Result<(), ProofError<E>> {
    if inside && large <= SIZE_MAX {
        Ok(())
    } else {
        Err(ProofError::OutOfRange { small, large })
    }
}

/// Checks that a leaf stands at `index` in the tree of `size` leaves (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofRefused> {
    if index >= size || size > SIZE_MAX {
        return Err(ProofRefused::OutOfRange {
            small: index,
            large: size,
        });
    }
    let length = ProofRefused::Length { found: proof.len() };
    let (mut node, mut last) = (index, size - 1);
    let mut found = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            found = node_hash(sibling, &found);
            // A node without a right sibling is its parent: climb until there is one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            found = node_hash(&found, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same(found, *root)
}

/// Checks that the tree with `old_root` is a prefix of the tree with `new_root` (RFC 9162 section
/// 2.1.4.2). A tree without leaves is a prefix of every tree.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofRefused> {
    if old > new || new > SIZE_MAX {
        return Err(ProofRefused::OutOfRange {
            small: old,
            large: new,
        });
    }
    let length = ProofRefused::Length { found: proof.len() };
    if old == 0 || old == new {
        let expected = if old == 0 { &EMPTY_ROOT } else { new_root };
        return if proof.is_empty() {
            same(*old_root, *expected)
        } else {
            Err(length)
        };
    }
    // The old tree's root is no node of the proof when it is a node of the new tree.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(length)?
    };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut found_old, mut found_new) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if node & 1 == 1 || node == last {
            found_old = node_hash(hash, &found_old);
            found_new = node_hash(hash, &found_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            found_new = node_hash(&found_new, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same(found_old, *old_root)?;
    same(found_new, *new_root)
}

fn same(found: Hash, expected: Hash) -> Result<(), ProofRefused> {
    if found == expected {
        Ok(())
    } else {
        Err(ProofRefused::Root { found, expected })
    }
}

/// A proof that an entry stands in a log, as a file that needs nothing but the keys
/// (c2sp.org/tlog-proof): the note is the checkpoint that `path` leads to.
#[must_use]
pub fn proof_text(index: u64, path: &[Hash], note: &Note) -> String {
    let mut text = format!("{PROOF_HEADER}\nindex {index}\n");
    for hash in path {
        text.push_str(&BASE64.encode(&hash.0));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&note.to_text());
    text
}

/// Reads what [`proof_text`] writes: index, audit path, checkpoint. `None` when it is malformed, or
/// has extra data, which nobody authenticates.
#[must_use]
pub fn parse_proof(bytes: &[u8]) -> Option<(u64, Vec<Hash>, Note)> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let head = core::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split('\n');
    if lines.next() != Some(PROOF_HEADER) {
        return None;
    }
    let index = parse_size(lines.next()?.strip_prefix("index ")?)?;
    let path: Vec<Hash> = lines
        .take(PROOF_MAX + 1)
        .map(|line| Some(Hash(base64::decode(line)?.try_into().ok()?)))
        .collect::<Option<_>>()?;
    let note = Note::parse(&bytes[end + 2..]).ok()?;
    (path.len() <= PROOF_MAX).then_some((index, path, note))
}
