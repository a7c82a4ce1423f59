//! The write-ahead file of one bundle: frames, each one group of entries that was synced together
//! (docs/spec/audit-log.md section 4).
//!
//! A frame fills whole blocks that no other frame touches, so a torn write of one group cannot harm
//! an earlier one, and no sector of a whole frame is all zeros. That tells a write that never ended
//! (file too short, or a sector of zeros) from damage to one that did.

use obol_log::{LEAF_MAX, TILE_WIDTH, bundle_entries, encode_bundle};
use sha2::{Digest, Sha256};

/// Frames start and end at multiples of this many bytes.
pub(crate) const BLOCK: usize = 4096;
/// Longest file: each entry of a bundle in its own frame, at the longest.
pub(crate) const JOURNAL_MAX: usize = TILE_WIDTH as usize * BLOCK;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Longest run of zeros in an entry: two of them, and a length between, fill no sector.
pub(crate) const ZEROS_MAX: usize = 240;

const MAGIC: [u8; 4] = *b"OBWA";
const HEADER: usize = 32;
const CHECK: usize = 12;
const CHAIN: usize = 32;
const PADDING: u8 = 0xff;

// One entry always fits one block.
const _: () = assert!(HEADER + 2 + LEAF_MAX + CHAIN <= BLOCK);

/// Where a write-ahead file stands: what its next frame continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain([u8; CHAIN]);

/// What a write-ahead file holds.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) end: End,
}

/// How a write-ahead file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After a whole frame.
    Clean,
    /// In a write that did not end, so nobody was told that it had.
    Torn { at: usize },
    /// In bytes that no interrupted write leaves behind.
    Damaged { at: usize, rule: &'static str },
}

impl Chain {
    /// The start of the file of bundle `bundle` of the log `origin`.
    pub(crate) fn start(origin: &str, bundle: u64) -> Self {
        let digest = Sha256::new()
            .chain_update("obol write-ahead v1\n")
            .chain_update(origin)
            .chain_update("\n")
            .chain_update(bundle.to_be_bytes())
            .finalize();
        Self(digest.into())
    }

    /// A frame of entries, of which the first has the index `first`.
    pub(crate) fn frame(&mut self, first: u64, entries: &[Vec<u8>]) -> Vec<u8> {
        let payload = encode_bundle(entries).expect("entries have at most LEAF_MAX bytes");
        let mut frame = MAGIC.to_vec();
        frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        frame.extend_from_slice(&(entries.len() as u32).to_be_bytes());
        frame.extend_from_slice(&first.to_be_bytes());
        frame.extend_from_slice(&self.check(&frame));
        frame.extend_from_slice(&payload);
        *self = self.next(&frame);
        frame.extend_from_slice(&self.0);
        frame.resize(frame.len().next_multiple_of(BLOCK), PADDING);
        frame
    }

    fn check(&self, header: &[u8]) -> [u8; CHECK] {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(header)
            .finalize();
        *digest.first_chunk().expect("32 bytes have a first 12")
    }

    fn next(&self, frame: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(frame)
            .finalize();
        Self(digest.into())
    }
}

/// Reads the write-ahead file of bundle `bundle`.
pub(crate) fn scan(bytes: &[u8], origin: &str, bundle: u64) -> Scan {
    let mut chain = Chain::start(origin, bundle);
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let first = bundle * TILE_WIDTH + entries.len() as u64;
        match read_frame(&mut chain, &bytes[at..], first) {
            Ok((read, length)) => {
                entries.extend(read);
                at += length;
            }
            Err(End::Damaged { at: inner, rule }) => {
                let at = at + inner;
                let end = End::Damaged { at, rule };
                return Scan { entries, end };
            }
            Err(_) => {
                let end = End::Torn { at };
                return Scan { entries, end };
            }
        }
    }
    let end = End::Clean;
    Scan { entries, end }
}

fn read_frame(chain: &mut Chain, rest: &[u8], first: u64) -> Result<(Vec<Vec<u8>>, usize), End> {
    let damaged = |at, rule| Err(End::Damaged { at, rule });
    let Some(header) = rest.first_chunk::<HEADER>() else {
        return Err(End::Torn { at: 0 });
    };
    if header[HEADER - CHECK..] != chain.check(&header[..HEADER - CHECK]) {
        return Err(bad_header(rest));
    }
    let word =
        |at| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, count) = (word(4) as usize, word(8) as usize);
    let index = u64::from(word(12)) << 32 | u64::from(word(16));
    if header[..4] != MAGIC || index != first || length > JOURNAL_MAX {
        return damaged(0, "a frame of another file");
    }
    let body = HEADER + length;
    let whole = (body + CHAIN).next_multiple_of(BLOCK);
    let Some(frame) = rest.get(..whole) else {
        return Err(End::Torn { at: 0 });
    };
    let next = chain.next(&frame[..body]);
    let padding = frame[body + CHAIN..].iter().position(|b| *b != PADDING);
    let changed = if frame[body..body + CHAIN] != next.0 {
        Some((0, "a frame whose bytes were changed"))
    } else {
        padding.map(|bad| (body + CHAIN + bad, "padding that was changed"))
    };
    if let Some((at, rule)) = changed {
        // Later frames are written only after this one was synced: then no write is missing here.
        let last = rest.len() == whole;
        let unwritten = last && frame.chunks(SECTOR).any(is_zero);
        return Err(if unwritten {
            End::Torn { at: 0 }
        } else {
            End::Damaged { at, rule }
        });
    }
    let entries: Option<Vec<_>> = bundle_entries(&frame[HEADER..body])
        .map(|entry| entry.ok().map(|(_, bytes)| bytes.to_vec()))
        .collect();
    match entries.filter(|entries| entries.len() == count) {
        Some(entries) => {
            *chain = next;
            Ok((entries, whole))
        }
        None => damaged(0, "a frame with another number of entries"),
    }
}

/// A header that does not check is a torn write only where the disk has not written its sector, and
/// nothing of a later frame follows.
fn bad_header(rest: &[u8]) -> End {
    let later = rest
        .chunks(BLOCK)
        .skip(1)
        .any(|block| block.starts_with(&MAGIC));
    let unwritten = is_zero(&rest[..rest.len().min(SECTOR)]);
    if unwritten && !later {
        End::Torn { at: 0 }
    } else {
        let rule = "a frame header that was changed";
        End::Damaged { at: 0, rule }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
