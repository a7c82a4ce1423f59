use alloc::vec::Vec;

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// The right edge of a growing tree: its size and the roots of its complete subtrees, largest
/// first. Enough to add leaves and to know the root, in at most 62 hashes.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one of the size is a complete subtree that the new leaf completes further.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else {
            return EMPTY_ROOT;
        };
        roots.fold(*smallest, |right, left| node_hash(left, &right))
    }
}
