//! What a power cut leaves.

use crate::fs::{FaultFs, Node, Write};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// How much of what was not synced is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it: bytes and names.
    Everything,
    /// The bytes; the names are there, as on a file system that writes its own records first.
    Bytes,
    /// The names; the bytes are there.
    Names,
    /// The first change of names in each folder; later ones are there, and the bytes.
    FirstNames,
    /// Whole writes and changes of names, each by its own coin: a disk that reorders what it was
    /// given, and tears nothing.
    Whole {
        /// Which coins.
        seed: u64,
    },
    /// Any part of it: each sector of a write and each change of names by its own coin.
    Some {
        /// Which coins.
        seed: u64,
    },
}

impl FaultFs {
    /// The file system after a power cut now; this one goes on.
    #[must_use]
    pub fn cut(&self, loss: Loss) -> FaultFs {
        let mut coins = Coins::new(loss);
        let nodes = self.nodes().into_iter().map(|node| match node {
            Node::File {
                mut durable,
                writes,
                ..
            } => {
                for write in writes.iter().flat_map(|write| loss.pieces(write)) {
                    if coins.keeps_bytes() {
                        write.apply(&mut durable);
                    }
                }
                Node::File {
                    seen: durable.clone(),
                    durable,
                    writes: Vec::new(),
                }
            }
            Node::Folder {
                mut durable,
                changes,
            } => {
                for (place, change) in changes.iter().enumerate() {
                    if coins.keeps_names(place) {
                        change.apply(&mut durable);
                    }
                }
                Node::Folder {
                    durable,
                    changes: Vec::new(),
                }
            }
        });
        FaultFs::of(nodes.collect())
    }
}

impl Loss {
    /// What is lost or kept as one.
    fn pieces(self, write: &Write) -> Vec<Write> {
        match self {
            Loss::Whole { .. } => vec![write.clone()],
            _ => sectors(write),
        }
    }
}

/// A write in pieces that end where the file's sectors end.
fn sectors(write: &Write) -> Vec<Write> {
    let Write::At(at, bytes) = write else {
        return vec![write.clone()];
    };
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < bytes.len() {
        let start = at + done;
        let end = (start / SECTOR + 1) * SECTOR;
        let piece = &bytes[done..bytes.len().min(done + end - start)];
        pieces.push(Write::At(start, piece.to_vec()));
        done += piece.len();
    }
    pieces
}

struct Coins {
    loss: Loss,
    state: u64,
}

impl Coins {
    fn new(loss: Loss) -> Self {
        let state = match loss {
            Loss::Some { seed } | Loss::Whole { seed } => seed,
            _ => 0,
        };
        Self { loss, state }
    }

    fn keeps_bytes(&mut self) -> bool {
        match self.loss {
            Loss::Everything | Loss::Bytes => false,
            Loss::Names | Loss::FirstNames => true,
            Loss::Some { .. } | Loss::Whole { .. } => self.toss(),
        }
    }

    fn keeps_names(&mut self, place: usize) -> bool {
        match self.loss {
            Loss::Everything | Loss::Names => false,
            Loss::Bytes => true,
            Loss::FirstNames => place > 0,
            Loss::Some { .. } | Loss::Whole { .. } => self.toss(),
        }
    }

    /// SplitMix64: every seed gives other coins.
    fn toss(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}
