use obol_account::SubjectHandle;
use obol_ledger::{Amount, AuthoriseRefused, BelowFloor};
use obol_mint::NOW;
use obol_payment::Cti;
use obol_store::{
    AdmitRefused, AuthoriseIssueRefused, BindRefused, Book, Books, Enrolment, LIVE_CREDENTIALS_MAX,
    OpenRefused, SqliteStore,
};

use crate::bench::{Bench, book, kid, request_of};

#[test]
fn the_same_key_enrolled_again_has_the_same_account() {
    let bench = Bench::new();
    let first = bench
        .store
        .admit_newcomer(&request_of(1, "0123456789abcdef"), NOW)
        .unwrap();
    let again = bench
        .store
        .admit_newcomer(&request_of(1, "0123456789abcdeg"), NOW)
        .unwrap();
    let created = bench
        .store
        .enrol_passenger(&first, SubjectHandle([1; 16]), NOW)
        .unwrap();
    let existing = bench
        .store
        .enrol_passenger(&again, SubjectHandle([2; 16]), NOW)
        .unwrap();
    let Enrolment::Created(passenger) = created else {
        panic!("{created:?}")
    };
    assert_eq!(existing, Enrolment::Existing(passenger));
    assert_eq!(bench.store.passenger_of(&again).unwrap(), Some(passenger));
}

#[test]
fn a_proof_that_was_used_is_refused_a_second_time() {
    let bench = Bench::new();
    bench.passenger(1);
    bench.passenger(2);
    let proof = request_of(1, "0123456789abcdeg");
    bench.store.admit(&proof, NOW).unwrap();
    let refused = bench.store.admit(&proof, NOW.plus(300)).unwrap_err();
    let AdmitRefused::Replayed { jti } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(jti, "0123456789abcdeg");
    // Another phone may draw the same identifier.
    bench
        .store
        .admit(&request_of(2, "0123456789abcdeg"), NOW)
        .unwrap();
}

#[test]
fn passengers_in_one_bucket_have_different_accounts() {
    let bench = Bench::new();
    let mut numbers: Vec<_> = (1..=200).map(|phone| bench.passenger(phone)).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
}

#[test]
fn a_credential_is_authorised_down_to_an_empty_wallet_and_not_beyond() {
    let bench = Bench::new();
    let number = bench.passenger(1);
    bench.recharge(number, 300);
    let authorise = |minor| {
        bench
            .store
            .authorise_issue(number, Amount::from_minor(minor), NOW)
    };
    assert_eq!(authorise(300).unwrap().amount(), Amount::from_minor(300));
    let refused = authorise(301).unwrap_err();
    let AuthoriseIssueRefused::NotCovered { reason, .. } = refused else {
        panic!("{refused:?}")
    };
    let (available, wanted) = (Amount::from_minor(300), Amount::from_minor(301));
    assert_eq!(
        reason,
        AuthoriseRefused::BelowFloor(BelowFloor { available, wanted })
    );
}

#[test]
fn a_credential_belongs_to_the_account_it_was_first_bound_to() {
    let bench = Bench::new();
    let cti = Cti([3; 8]);
    let (holder, other) = (bench.rider(1, cti), bench.passenger(2));
    bench
        .store
        .bind_credential(kid(), cti, holder, NOW, NOW)
        .unwrap();
    let refused = bench.store.bind_credential(kid(), cti, other, NOW, NOW);
    assert!(matches!(refused, Err(BindRefused::TakenByAnother)));
}

#[test]
fn a_file_that_keeps_other_books_is_refused() {
    let bench = Bench::new();
    let other = Book::new(book().currency(), 0).unwrap();
    let Err(refused) = SqliteStore::open(&bench.path(), other) else {
        panic!("opened")
    };
    let OpenRefused::OtherBook {
        found, expected, ..
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(found, "CNY, day offset 28800 s");
    assert_eq!(expected, "CNY, day offset 0 s");
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let bench = Bench::new();
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let Err(refused) = SqliteStore::open(&bench.path(), book()) else {
        panic!("opened")
    };
    let OpenRefused::Newer { found, known, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((found, known), (99, 6));
}

#[test]
fn a_key_that_was_never_enrolled_writes_nothing() {
    let bench = Bench::new();
    let stranger = request_of(1, "0123456789abcdef");
    let refused = bench.store.admit(&stranger, NOW).unwrap_err();
    let AdmitRefused::NotEnrolled(thumbprint) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(thumbprint, stranger.thumbprint());
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    let proofs: i64 = connection
        .query_row("SELECT COUNT(*) FROM dpop_jti", [], |row| row.get(0))
        .unwrap();
    assert_eq!(proofs, 0);
}

#[test]
fn one_account_cannot_use_up_the_status_indexes() {
    let bench = Bench::new();
    let (number, other) = (bench.passenger(1), bench.passenger(2));
    let day = NOW.plus(86_400);
    for cti in 0..LIVE_CREDENTIALS_MAX {
        let bound = bench
            .store
            .bind_credential(kid(), Cti([cti as u8; 8]), number, day, NOW);
        bound.unwrap();
    }
    let authorise = |number, now| bench.store.authorise_issue(number, Amount::ZERO, now);
    let refused = authorise(number, NOW).unwrap_err();
    let AuthoriseIssueRefused::TooMany { live, most, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((live, most), (LIVE_CREDENTIALS_MAX, LIVE_CREDENTIALS_MAX));
    authorise(other, NOW).unwrap();
    // Credentials that have expired make room.
    authorise(number, day).unwrap();
}

#[test]
fn a_database_is_its_owners_alone_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.passenger(1);
    for entry in std::fs::read_dir(bench.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn who_opens_books_to_read_makes_and_changes_nothing() {
    let bench = Bench::new();
    let missing = bench.directory.path().join("missing.sqlite");
    assert!(matches!(
        Books::open(&missing),
        Err(OpenRefused::Open { .. })
    ));
    assert!(!missing.exists());
    let number = bench.passenger(1);
    let books = Books::open(&bench.path()).unwrap();
    assert_eq!(*books.book(), book());
    assert_eq!(books.latest_statement(number).unwrap().lines, []);
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let refused = Books::open(&bench.path()).map(drop).unwrap_err();
    assert!(matches!(
        refused,
        OpenRefused::Older {
            found: 1,
            known: 6,
            ..
        }
    ));
    connection.pragma_update(None, "user_version", 6).unwrap();
}

#[test]
fn a_file_of_version_one_is_brought_to_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("platform.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let script = include_str!("../../src/sqlite/schema-1.sql");
    connection.execute_batch(script).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    let store = SqliteStore::open(&path, book()).unwrap();
    assert_eq!(store.rejected(None).unwrap(), []);
    assert_eq!(store.check_books().unwrap().findings, []);
}

#[test]
fn rides_charged_before_adjustments_keep_what_they_are_charged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("platform.sqlite");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(include_str!("../../src/sqlite/schema-1.sql"))
        .unwrap();
    connection
        .execute_batch(include_str!("../../src/sqlite/schema-2.sql"))
        .unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    let uses = |nonce: u8, charged: u8| {
        format!(
            "INSERT INTO code_use VALUES (0, x'0101010101010101', x'01010101', 5, x'000000{nonce:02x}',
               'bus-1', x'0000000000000000', {nonce}, 1, 5, 1, 2000, 65, 'metro', 200, 10,
               x'0000000000000000', {charged})"
        )
    };
    connection.execute_batch(&uses(1, 1)).unwrap();
    connection.execute_batch(&uses(2, 0)).unwrap();
    drop(connection);
    drop(SqliteStore::open(&path, book()).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT charged_minor, charged_rule, postings FROM code_use ORDER BY seq";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<(i64, i64, i64)> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, [(200, 10, 1), (0, 10, 1)]);
}
