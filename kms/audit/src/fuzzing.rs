//! The write-ahead reader as a plain function, for fuzzing; no part of the crate's contract.

use crate::journal::{End, scan};

/// How many entries a write-ahead file of bundle 0 of the log `fuzz.example/log` holds.
///
/// # Panics
/// Where an entry would be read from behind the place that the scan names as its end.
#[must_use]
pub fn journal(bytes: &[u8]) -> usize {
    let found = scan(bytes, "fuzz.example/log", 0);
    if let End::Torn { at } | End::Damaged { at, .. } = found.end {
        assert!(at <= bytes.len());
        let before = scan(&bytes[..at], "fuzz.example/log", 0);
        assert_eq!(before.entries.len(), found.entries.len());
    }
    found.entries.len()
}

/// A write-ahead file of these entries, each in its own frame.
#[must_use]
pub fn journal_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut chain = crate::journal::Chain::start("fuzz.example/log", 0);
    let frames = entries.iter().zip(0..);
    frames
        .flat_map(|(entry, first)| chain.frame(first, std::slice::from_ref(entry)))
        .collect()
}
