//! Commands on passengers, kept until every issuer has confirmed them.

use obol_account::AccountNumber;
use obol_mint::NOW;
use obol_store::{CommandRefused, SqliteStore, Standing, SubjectCommand};

use crate::bench::{Bench, book};

fn pending(store: &SqliteStore, issuer: &str) -> Vec<SubjectCommand> {
    store.unconfirmed_commands(issuer).unwrap()
}

#[test]
fn a_command_is_pending_at_each_issuer_until_that_one_confirms_it() {
    let bench = Bench::new();
    let account = bench.passenger(1);
    let store = &bench.store;
    let given = store
        .command_subject(account, Standing::Suspended, "lost", NOW)
        .unwrap();
    // The same again is the same command.
    let later = NOW.plus(9);
    let again = store
        .command_subject(account, Standing::Suspended, "lost", later)
        .unwrap();
    assert_eq!(again, given);
    assert_eq!(pending(store, "north"), std::slice::from_ref(&given));
    store.confirm_command(&given, "north", NOW).unwrap();
    assert_eq!(pending(store, "north"), []);
    assert_eq!(pending(store, "south"), [given]);
}

#[test]
fn a_later_command_takes_the_place_of_one_that_is_pending_and_an_old_confirmation_does_not_count() {
    let bench = Bench::new();
    let account = bench.passenger(1);
    let store = &bench.store;
    let first = store
        .command_subject(account, Standing::Suspended, "lost", NOW)
        .unwrap();
    let second = store
        .command_subject(account, Standing::Active, "found", NOW)
        .unwrap();
    assert!(second.number > first.number);
    assert_eq!(pending(store, "north"), std::slice::from_ref(&second));
    store.confirm_command(&second, "north", NOW).unwrap();
    // The answer to the first comes late.
    store.confirm_command(&first, "north", NOW).unwrap();
    assert_eq!(pending(store, "north"), []);
    let third = store
        .command_subject(account, Standing::Revoked, "stolen", NOW)
        .unwrap();
    store.confirm_command(&second, "north", NOW).unwrap();
    assert_eq!(pending(store, "north"), [third]);
}

#[test]
fn what_is_revoked_stays_revoked_and_nobody_is_commanded_who_is_not_there() {
    let bench = Bench::new();
    let account = bench.passenger(1);
    let store = &bench.store;
    store
        .command_subject(account, Standing::Revoked, "stolen", NOW)
        .unwrap();
    let refused = store
        .command_subject(account, Standing::Active, "found", NOW)
        .unwrap_err();
    assert!(
        matches!(refused, CommandRefused::Revoked(of) if of == account),
        "{refused:?}"
    );
    let nobody = AccountNumber::new(account.get() + 64).unwrap();
    let refused = store
        .command_subject(nobody, Standing::Revoked, "stolen", NOW)
        .unwrap_err();
    assert!(
        matches!(refused, CommandRefused::UnknownAccount(of) if of == nobody),
        "{refused:?}"
    );
}

#[test]
fn an_issuer_whose_confirmations_are_forgotten_hears_every_command_again_after_a_restart_too() {
    let bench = Bench::new();
    let mut given = Vec::new();
    for phone in 1..=3 {
        let account = bench.passenger(phone);
        let at = NOW.plus(phone.into());
        let command = bench
            .store
            .command_subject(account, Standing::Revoked, "stolen", at)
            .unwrap();
        for issuer in ["north", "south"] {
            bench.store.confirm_command(&command, issuer, at).unwrap();
        }
        given.push(command);
    }
    assert_eq!(bench.store.forget_confirmations("south").unwrap(), 3);
    let reopened = SqliteStore::open(&bench.path(), book()).unwrap();
    assert_eq!(pending(&reopened, "south"), given);
    assert_eq!(pending(&reopened, "north"), []);
}
