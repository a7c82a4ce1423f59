use obol_account::SubjectHandle;
use obol_ledger::{Amount, AuthoriseRefused, BelowFloor};
use obol_mint::NOW;
use obol_payment::Cti;
use obol_store::{
    AdmitRefused, AuthoriseIssueRefused, BindRefused, Book, Enrolment, OpenRefused, SqliteStore,
};

use crate::bench::{Bench, book, kid, request_of};

#[test]
fn the_same_key_enrolled_again_has_the_same_account() {
    let bench = Bench::new();
    let first = bench
        .store
        .admit(&request_of(1, "0123456789abcdef"), NOW)
        .unwrap();
    let again = bench
        .store
        .admit(&request_of(1, "0123456789abcdeg"), NOW)
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
    let proof = request_of(1, "0123456789abcdef");
    bench.store.admit(&proof, NOW).unwrap();
    let refused = bench.store.admit(&proof, NOW.plus(300)).unwrap_err();
    let AdmitRefused::Replayed { jti } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(jti, "0123456789abcdef");
    // Another phone may draw the same identifier.
    bench
        .store
        .admit(&request_of(2, "0123456789abcdef"), NOW)
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
            .authorise_issue(number, Amount::from_minor(minor))
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
        .bind_credential(kid(), cti, holder, NOW)
        .unwrap();
    let refused = bench.store.bind_credential(kid(), cti, other, NOW);
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
    assert_eq!((found, known), (99, 1));
}
