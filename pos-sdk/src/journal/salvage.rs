//! What can be read out of a journal that is damaged: through SQLite where it still finds its way,
//! from the raw bytes of its files where it does not, and a flipped bit by the hash chain, which
//! tells the right bytes from every other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use obol_tap::{Head, RECORD_MAX, TapRecord, TerminalName};
use rusqlite::params;
use sha2::{Digest, Sha256};

use super::{JournalFile, Tail, companion};

/// Records that a repair looks for behind the last one that it can read.
const BEYOND: u64 = 4096;
const CHUNK: usize = 1 << 20;
const HEAD_LEN: usize = 32;

/// A record's bytes, and the head that was stored beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) head: Head,
}

/// What a damaged journal still holds.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// The records, each with the head behind it.
    pub(super) records: BTreeMap<u64, Found>,
    /// Records of which a byte or a head was wrong and is right again.
    pub(super) restored: Vec<u64>,
    /// Records that are gone, with the head that stands for them.
    pub(super) lost: BTreeMap<u64, Head>,
    /// The last record that is gone without leaving even its head: from there on the heads are new
    /// ones.
    pub(super) new_heads_from: Option<u64>,
}

/// What was known before: where the journal begins, how far the platform holds it, what an earlier
/// repair found to be lost.
pub(super) struct Known {
    pub(super) base: Tail,
    pub(super) watermark: Tail,
    pub(super) last: u64,
    pub(super) lost: BTreeMap<u64, Head>,
}

/// Reads what can be read.
pub(super) fn salvage(journal: &JournalFile, known: &Known) -> io::Result<Salvage> {
    let (base, last) = (known.base, known.last);
    let mut seen: BTreeMap<u64, Vec<Found>> = BTreeMap::new();
    let mut bad = BTreeSet::new();
    let mut head = base.head;
    let mut seq = base.seq + 1;
    while seq <= last {
        match by_sqlite(journal, seq) {
            Some(found) => {
                if head.then(&found.bytes) != found.head {
                    bad.insert(seq);
                }
                head = found.head;
                seen.entry(seq).or_default().push(found);
            }
            None => {
                bad.insert(seq);
            }
        }
        seq += 1;
    }
    bad.extend(last + 1..=last + BEYOND);
    for (seq, found) in carve(journal, &bad)? {
        let known = seen.entry(seq).or_default();
        if !known.contains(&found) {
            known.push(found);
        }
    }
    Ok(follow(known, &seen))
}

fn by_sqlite(journal: &JournalFile, seq: u64) -> Option<Found> {
    let mut statement = journal
        .connection
        .prepare_cached("SELECT bytes, head FROM record WHERE seq = ?1")
        .ok()?;
    let found = statement.query_row(params![seq], |row| Ok((row.get(0)?, row.get(1)?)));
    let (bytes, head) = found.ok()?;
    Some(Found {
        bytes,
        head: Head(head),
    })
}

/// Where the walk stands: the head of the chain as it was written, unknown behind a record that is
/// gone altogether, and the head of the chain as it will be.
struct Walk {
    written: Option<Head>,
    now: Head,
}

/// Follows the chain through what was seen.
fn follow(known: &Known, seen: &BTreeMap<u64, Vec<Found>>) -> Salvage {
    let mut salvage = Salvage::default();
    let base = known.base;
    let mut walk = Walk {
        written: Some(base.head),
        now: base.head,
    };
    let last = seen.iter().rfind(|(_, found)| !found.is_empty());
    let last = last.map_or(base.seq, |(seq, _)| *seq);
    for seq in base.seq + 1..=last.max(known.watermark.seq) {
        let at = |seq| seen.get(&seq).map_or(&[][..], Vec::as_slice);
        let (candidates, next) = (at(seq), at(seq + 1));
        match walk.written.map_or_else(
            || confirmed(candidates, next),
            |written| pick(written, candidates, next),
        ) {
            Some(found) => {
                walk.now = match walk.written == Some(walk.now) {
                    true => found.head,
                    false => walk.now.then(&found.bytes),
                };
                walk.written = Some(found.head);
                if candidates.first() != Some(&found) {
                    salvage.restored.push(seq);
                }
                let (bytes, head) = (found.bytes, walk.now);
                salvage.records.insert(seq, Found { bytes, head });
            }
            None => {
                let stored = stored_head(candidates, next).or(known.lost.get(&seq).copied());
                if stored.is_none() {
                    salvage.new_heads_from = Some(seq);
                }
                walk.now = match stored {
                    Some(head) if walk.written == Some(walk.now) => head,
                    _ => walk.now.then(b"lost"),
                };
                walk.written = stored;
                salvage.lost.insert(seq, walk.now);
            }
        }
        // What the platform holds is certain, whatever became of the records before.
        if seq == known.watermark.seq {
            walk.written = Some(known.watermark.head);
            walk.now = known.watermark.head;
            if salvage.new_heads_from.is_none_or(|from| from < seq)
                && let Some(head) = salvage.lost.get_mut(&seq)
            {
                *head = walk.now;
            }
        }
    }
    salvage
}

/// The bytes that follow `previous`, by the head beside them, by the record behind them, or with a
/// wrong byte put right.
fn pick(previous: Head, candidates: &[Found], next: &[Found]) -> Option<Found> {
    if let Some(found) = candidates
        .iter()
        .find(|c| previous.then(&c.bytes) == c.head)
    {
        return Some(found.clone());
    }
    for candidate in candidates {
        let head = previous.then(&candidate.bytes);
        if leads_on(head, next) {
            let bytes = candidate.bytes.clone();
            return Some(Found { bytes, head });
        }
    }
    candidates.iter().find_map(|candidate| {
        let bytes = put_right(previous, candidate)?;
        let head = candidate.head;
        Some(Found { bytes, head })
    })
}

/// Behind a gap: bytes whose stored head the next record follows, or the last record of all.
fn confirmed(candidates: &[Found], next: &[Found]) -> Option<Found> {
    let found = candidates
        .iter()
        .find(|candidate| next.is_empty() || leads_on(candidate.head, next))?;
    TapRecord::decode(&found.bytes).ok()?;
    Some(found.clone())
}

fn leads_on(head: Head, next: &[Found]) -> bool {
    next.iter().any(|n| head.then(&n.bytes) == n.head)
}

/// The head of a record that is gone, when the next record follows it.
fn stored_head(candidates: &[Found], next: &[Found]) -> Option<Head> {
    let mut stored = candidates.iter().map(|candidate| candidate.head);
    stored.find(|head| leads_on(*head, next))
}

/// Tries every value of every byte: a flipped bit, or eight of them in one byte.
fn put_right(previous: Head, candidate: &Found) -> Option<Vec<u8>> {
    let mut bytes = candidate.bytes.clone();
    let mut before = Sha256::new().chain_update(previous.0);
    for at in 0..bytes.len() {
        let (wrong, rest) = (bytes[at], at + 1);
        for value in 0..=u8::MAX {
            let hash = before
                .clone()
                .chain_update([value])
                .chain_update(&bytes[rest..]);
            if hash.finalize()[..] == candidate.head.0 {
                bytes[at] = value;
                return Some(bytes);
            }
        }
        before.update([wrong]);
    }
    None
}

/// Looks for the records `wanted` in the raw bytes of the journal's files. SQLite stores a record's
/// head right behind its bytes.
fn carve(journal: &JournalFile, wanted: &BTreeSet<u64>) -> io::Result<Vec<(u64, Found)>> {
    let mut found = Vec::new();
    for path in [journal.path.clone(), companion(&journal.path, "-wal")] {
        for chunk in chunks(&path)? {
            carve_chunk(&chunk?, &journal.terminal, wanted, &mut found);
        }
    }
    Ok(found)
}

fn carve_chunk(
    chunk: &[u8],
    terminal: &TerminalName,
    wanted: &BTreeSet<u64>,
    found: &mut Vec<(u64, Found)>,
) {
    for at in 0..chunk.len().saturating_sub(1) {
        if TapRecord::may_begin(&chunk[at..])
            && let Some((record, len)) = record_at(&chunk[at..])
            && record.terminal == *terminal
            && wanted.contains(&record.seq)
            && let Some(head) = chunk[at + len..].first_chunk::<HEAD_LEN>()
        {
            let bytes = chunk[at..at + len].to_vec();
            let head = Head(*head);
            found.push((record.seq, Found { bytes, head }));
        }
    }
}

/// The record that these bytes begin with. It ends with its flags, one small number: its length is
/// where the decoder has nothing left over.
fn record_at(bytes: &[u8]) -> Option<(TapRecord, usize)> {
    let longest = bytes.len().min(RECORD_MAX);
    let trailing = match TapRecord::decode(&bytes[..longest]) {
        Ok(record) => return Some((record, longest)),
        Err(malformed) => malformed,
    };
    if trailing.rule != "trailing bytes" {
        return None;
    }
    let record = TapRecord::decode(&bytes[..trailing.at]).ok()?;
    Some((record, trailing.at))
}

/// A file in pieces that overlap by the longest record and its head.
fn chunks(path: &Path) -> io::Result<Chunks> {
    match File::open(path) {
        Ok(file) => Ok(Chunks {
            file: Some(file),
            tail: Vec::new(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Chunks {
            file: None,
            tail: Vec::new(),
        }),
        Err(error) => Err(error),
    }
}

struct Chunks {
    file: Option<File>,
    tail: Vec<u8>,
}

impl Iterator for Chunks {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.file.as_mut()?;
        let mut chunk = std::mem::take(&mut self.tail);
        let before = chunk.len();
        if let Err(error) = file.take(CHUNK as u64).read_to_end(&mut chunk) {
            self.file = None;
            return Some(Err(error));
        }
        if chunk.len() == before {
            self.file = None;
            return None;
        }
        let overlap = chunk.len().saturating_sub(RECORD_MAX + HEAD_LEN);
        self.tail = chunk[overlap..].to_vec();
        Some(Ok(chunk))
    }
}
