//! Damaged journals: what a repair brings back, and what it says is lost.

use std::fs;

use obol_pos_sdk::{JournalFile, RefusalCode, Repaired, export, repair};

use crate::world::{T, World, name, open};

const RIDES: u8 = 12;

/// A stopped terminal's journal with a dozen rides, and the place of a record's bytes in its file.
fn world() -> (World, Vec<Vec<u8>>) {
    let mut world = World::with_rides(RIDES);
    let journal = world.terminal().journal();
    let records = journal.records(1, usize::MAX >> 1).unwrap();
    world.stop();
    let bytes = records.iter().map(|stored| stored.record.encode());
    (world, bytes.collect())
}

fn place(file: &[u8], bytes: &[u8]) -> usize {
    file.windows(bytes.len()).position(|w| w == bytes).unwrap()
}

fn places(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    let windows = file.windows(bytes.len()).enumerate();
    windows
        .filter(|(_, w)| *w == bytes)
        .map(|(at, _)| at)
        .collect()
}

/// Zeros over a part of every copy of a record: SQLite leaves some behind when it moves rows.
fn wipe(file: &mut [u8], bytes: &[u8], part: std::ops::Range<usize>) {
    while let Some(at) = file.windows(bytes.len()).position(|w| w == bytes) {
        file[at + part.start..at + part.end].fill(0);
    }
}

fn repaired(world: &World) -> Repaired {
    repair(&world.path(), &name()).unwrap()
}

/// The journal is whole, holds what was granted but for `lost`, and takes no code of it again.
fn holds(world: &mut World, records: &[Vec<u8>], lost: &[u64]) {
    world.restart();
    let journal = world.terminal().journal();
    assert_eq!(journal.check().unwrap(), records.len() as u64);
    let found = journal.records(1, usize::MAX >> 1).unwrap();
    let found: Vec<_> = found.iter().map(|stored| stored.record.encode()).collect();
    let expected: Vec<_> = (1..)
        .zip(records)
        .filter(|(seq, _)| !lost.contains(seq))
        .map(|(_, bytes)| bytes.clone())
        .collect();
    assert_eq!(found, expected);
    let code = world.phone(1).code(T, 1);
    assert_eq!(world.refuse(&code, T), RefusalCode::Duplicate);
    let next = world.phone(100).code(T, 9);
    let seq = world.grant(&next, T).record.seq;
    assert_eq!(seq, records.len() as u64 + 1);
}

#[test]
fn a_flipped_bit_anywhere_in_a_record_is_put_right_and_nothing_is_lost() {
    let (mut world, records) = world();
    let good = fs::read(world.path()).unwrap();
    let copies = places(&good, &records[4]);
    for offset in (0..records[4].len() + 32).step_by(61) {
        let mut bad = good.clone();
        for at in &copies {
            bad[at + offset] ^= 1 << (offset % 8);
        }
        fs::write(world.path(), &bad).unwrap();
        let done = repaired(&world);
        assert_eq!(
            (done.restored, done.lost),
            (vec![5], vec![]),
            "byte {offset}"
        );
        assert_eq!(open(&world.path()).check().unwrap(), u64::from(RIDES));
        assert_eq!(
            fs::read(&done.kept).unwrap(),
            bad,
            "the damaged file is kept"
        );
    }
    holds(&mut world, &records, &[]);
}

#[test]
fn a_page_that_sqlite_cannot_read_loses_no_record() {
    let (mut world, records) = world();
    let mut file = fs::read(world.path()).unwrap();
    let page = place(&file, &records[4]) / 4096 * 4096;
    // the page's own head and its cell pointers
    file[page..page + 40].fill(0xff);
    fs::write(world.path(), &file).unwrap();
    JournalFile::open(&world.path(), &name()).unwrap_err();
    let done = repaired(&world);
    assert_eq!(done.lost, [0; 0]);
    holds(&mut world, &records, &[]);
}

#[test]
fn a_record_beyond_repair_is_named_and_the_others_stay() {
    let (mut world, records) = world();
    let mut file = fs::read(world.path()).unwrap();
    wipe(&mut file, &records[4], 50..90);
    fs::write(world.path(), &file).unwrap();
    let done = repaired(&world);
    assert_eq!((done.restored, done.lost), (vec![], vec![5]));
    holds(&mut world, &records, &[5]);
}

#[test]
fn a_record_that_left_nothing_behind_is_named_and_the_others_stay() {
    let (mut world, records) = world();
    let mut file = fs::read(world.path()).unwrap();
    let heads = records[4].len() + 32;
    wipe(&mut file, &records[4], 0..heads);
    fs::write(world.path(), &file).unwrap();
    let done = repaired(&world);
    assert_eq!((done.restored, done.lost), (vec![], vec![5]));
    holds(&mut world, &records, &[5]);
}

#[test]
fn an_export_reads_what_a_damaged_journal_holds_and_touches_nothing() {
    let (world, records) = world();
    let mut file = fs::read(world.path()).unwrap();
    wipe(&mut file, &records[4], 50..90);
    fs::write(world.path(), &file).unwrap();
    let (found, lost) = export(&world.path(), &name()).unwrap();
    assert_eq!(lost, [5]);
    assert_eq!(found.len(), records.len() - 1);
    assert!(found.iter().all(|e| e.bytes == records[e.seq as usize - 1]));
    assert_eq!(fs::read(world.path()).unwrap(), file);
}

#[test]
fn a_repair_of_a_whole_journal_changes_nothing_in_it() {
    let (mut world, records) = world();
    let done = repaired(&world);
    assert_eq!((done.restored, done.lost), (vec![], vec![]));
    holds(&mut world, &records, &[]);
}

#[test]
fn a_journal_in_use_is_not_repaired() {
    let world = World::with_rides(1);
    let refused = repair(&world.path(), &name()).unwrap_err();
    assert!(refused.to_string().ends_with("is in use"), "{refused}");
}
