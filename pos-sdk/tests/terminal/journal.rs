use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use obol_pos_sdk::{Journal, JournalError, JournalFile, TerminalName};

use crate::world::{EPOCH, T, World, name, open};

fn opening(path: &Path) -> JournalError {
    Journal::open(path, &name()).unwrap_err()
}

#[test]
fn a_journal_has_one_writer() {
    let world = World::with_rides(1);
    let refused = opening(&world.path());
    assert!(matches!(refused, JournalError::Locked { .. }), "{refused}");
}

#[test]
fn what_a_terminal_takes_is_read_beside_it_as_it_is_written() {
    let mut world = World::with_rides(1);
    let beside = JournalFile::open(&world.path(), &name()).unwrap();
    assert_eq!(beside.last_seq().unwrap(), 1);
    let code = world.phone(2).code(T, 2);
    world.grant(&code, T);
    assert_eq!(beside.check().unwrap(), 2);
    drop(beside);
    let code = world.phone(3).code(T, 3);
    assert_eq!(world.grant(&code, T).record.seq, 3);
}

#[test]
fn the_journals_files_are_their_owners_alone() {
    let world = World::with_rides(1);
    let mut files = 0;
    for file in fs::read_dir(world.folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        files += 1;
    }
    assert_eq!(
        files, 4,
        "the database, its two companions, the writer's lock"
    );
}

#[test]
fn a_missing_journal_is_not_made_by_opening_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let refused = opening(&path);
    assert!(matches!(refused, JournalError::Missing { .. }), "{refused}");
    assert!(!path.exists());
}

#[test]
fn a_journal_is_never_made_over_another() {
    let mut world = World::with_rides(1);
    world.stop();
    let refused = Journal::create(&world.path(), &name(), EPOCH).unwrap_err();
    assert!(matches!(refused, JournalError::Exists { .. }), "{refused}");
    assert_eq!(open(&world.path()).check().unwrap(), 1);
}

#[test]
fn an_empty_file_a_text_and_another_database_are_not_journals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    fs::write(&path, b"").unwrap();
    assert!(matches!(opening(&path), JournalError::NotAJournal { .. }));
    fs::write(&path, [b'x'; 5000]).unwrap();
    assert!(matches!(opening(&path), JournalError::NotAJournal { .. }));
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE t (x) STRICT")
        .unwrap_err();
    other
        .execute_batch("CREATE TABLE t (x INTEGER) STRICT")
        .unwrap();
    drop(other);
    assert!(matches!(opening(&path), JournalError::NotAJournal { .. }));
    let refused = Journal::create(&path, &name(), EPOCH).unwrap_err();
    assert!(matches!(refused, JournalError::NotAJournal { .. }));
}

#[test]
fn the_journal_of_another_terminal_is_refused() {
    let mut world = World::with_rides(1);
    world.stop();
    let other = TerminalName::new("bus-13").unwrap();
    let refused = Journal::open(&world.path(), &other).unwrap_err();
    assert!(matches!(refused, JournalError::AnotherTerminal { .. }));
}

#[test]
fn a_file_cut_short_is_refused_and_kept() {
    let mut world = World::with_rides(20);
    world.stop();
    let bytes = fs::read(world.path()).unwrap();
    for len in [bytes.len() / 2, 4096, 100] {
        fs::write(world.path(), &bytes[..len]).unwrap();
        let refused = opening(&world.path());
        assert!(
            matches!(
                refused,
                JournalError::DamagedFile { .. }
                    | JournalError::Damaged { .. }
                    | JournalError::NotAJournal { .. }
            ),
            "{len}: {refused:?}"
        );
        assert_eq!(fs::read(world.path()).unwrap(), &bytes[..len]);
    }
}

#[test]
fn a_flipped_byte_in_a_record_is_an_error_that_names_it() {
    let mut world = World::with_rides(5);
    let third = world.terminal().journal().records(3, 1).unwrap()[0]
        .record
        .encode();
    world.stop();
    let mut bytes = fs::read(world.path()).unwrap();
    let at = bytes.windows(third.len()).position(|w| w == third).unwrap();
    for offset in [0, 20, 100, third.len() - 1] {
        bytes[at + offset] ^= 1;
        fs::write(world.path(), &bytes).unwrap();
        let refused = opening(&world.path());
        assert!(
            matches!(refused, JournalError::Damaged { seq: 3, .. }),
            "{refused}"
        );
        bytes[at + offset] ^= 1;
    }
    fs::write(world.path(), &bytes).unwrap();
    assert_eq!(open(&world.path()).check().unwrap(), 5);
}

/// Every byte of the file, one at a time: either it is noticed, or every record still reads as it
/// was written.
#[test]
fn no_flipped_byte_changes_a_record_unnoticed() {
    let mut world = World::with_rides(3);
    let written = world.terminal().journal().records(1, 9).unwrap();
    world.stop();
    let good = fs::read(world.path()).unwrap();
    let mut noticed = 0;
    for at in (0..good.len()).step_by(7) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        fs::write(world.path(), &bytes).unwrap();
        let checked = Journal::open(&world.path(), &name())
            .and_then(|journal| journal.check().and_then(|_| journal.records(1, 9)));
        match checked {
            Err(_) => noticed += 1,
            Ok(found) => {
                for (found, written) in found.iter().zip(&written) {
                    assert_eq!(found.record, written.record, "byte {at}");
                }
                assert_eq!(found.len(), written.len(), "byte {at}");
            }
        }
    }
    assert!(noticed > 100, "{noticed}");
}

#[test]
fn a_record_cut_from_the_end_is_noticed_when_it_was_uploaded() {
    let mut world = World::with_rides(3);
    world.stop();
    let file = rusqlite::Connection::open(world.path()).unwrap();
    file.execute_batch(
        "UPDATE uplink SET watermark = 3, head = (SELECT head FROM record WHERE seq = 3);
         DELETE FROM granted WHERE seq = 3; DELETE FROM record WHERE seq = 3",
    )
    .unwrap();
    drop(file);
    let refused = opening(&world.path());
    let text = refused.to_string();
    assert!(
        text.contains("at record 3: it was uploaded and is missing"),
        "{text}"
    );
}

#[test]
fn a_record_cut_from_the_middle_and_a_changed_column_are_noticed() {
    for (sql, seq) in [
        (
            "DELETE FROM granted WHERE seq = 2; DELETE FROM record WHERE seq = 2",
            2,
        ),
        ("UPDATE code SET issued_at = issued_at + 1 WHERE seq = 3", 3),
        ("UPDATE record SET head = zeroblob(32) WHERE seq = 1", 1),
    ] {
        let mut world = World::with_rides(3);
        world.stop();
        let file = rusqlite::Connection::open(world.path()).unwrap();
        file.execute_batch(sql).unwrap();
        drop(file);
        let refused = opening(&world.path());
        assert!(
            matches!(refused, JournalError::Damaged { seq: found, .. } if found == seq),
            "{sql}: {refused}"
        );
    }
}
