use alloc::vec::Vec;
use core::convert::Infallible;

use crate::hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};

/// The largest tree: 2^62 leaves, so that no sum of two indexes overflows.
pub const SIZE_MAX: u64 = 1 << 62;

/// Whoever keeps the hashes of complete subtrees.
pub trait NodeReader {
    /// Why a hash could not be read.
    type Error;

    /// The hash over the leaves `index << level .. (index + 1) << level`, all of which exist.
    ///
    /// # Errors
    /// The keeper's own.
    fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the first `size` leaves: MTH(D\[0:size\]) of RFC 6962 section 2.1.
///
/// # Errors
/// The reader's.
pub fn root<R: NodeReader + ?Sized>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    if size == 0 {
        return Ok(EMPTY_ROOT);
    }
    range_root(reader, 0, size)
}

/// MTH(D\[start:end\]) for a range that RFC 6962's recursion meets: `start` is a multiple of the
/// smallest power of two that covers the range.
pub(crate) fn range_root<R: NodeReader + ?Sized>(
    reader: &R,
    start: u64,
    end: u64,
) -> Result<Hash, R::Error> {
    let mut rest = start;
    let mut lefts: Vec<Hash> = Vec::new();
    loop {
        let count = end - rest;
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            let mut hash = reader.node(level, rest >> level)?;
            while let Some(left) = lefts.pop() {
                hash = node_hash(&left, &hash);
            }
            return Ok(hash);
        }
        let half = split(count);
        let level = half.trailing_zeros();
        lefts.push(reader.node(level, rest >> level)?);
        rest += half;
    }
}

/// The largest power of two smaller than `count`; `count` is at least 2.
pub(crate) fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// A whole tree in memory, for tests and for small logs; reads are computed from the leaf hashes.
#[derive(Clone, Debug, Default)]
pub struct Leaves(Vec<Hash>);

impl Leaves {
    /// A tree over leaf hashes that exist already.
    #[must_use]
    pub fn new(hashes: Vec<Hash>) -> Self {
        Self(hashes)
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        self.0.push(leaf_hash(leaf));
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }

    /// The root of the first `size` leaves; all of them when there are fewer.
    #[must_use]
    pub fn root(&self, size: u64) -> Hash {
        match root(self, size.min(self.size())) {
            Ok(hash) => hash,
            Err(never) => match never {},
        }
    }
}

impl NodeReader for Leaves {
    type Error = Infallible;

    fn node(&self, level: u32, index: u64) -> Result<Hash, Infallible> {
        let start = usize::try_from(index << level).expect("an index of a tree in memory");
        Ok(perfect_root(&self.0[start..start + (1 << level)]))
    }
}

/// The root over a power of two of hashes.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
    }
    row[0]
}
