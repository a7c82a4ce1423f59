//! Blocked issuer keys: which credentials are marked, for how long.

use obol_account::AccountNumber;
use obol_mint::NOW;
use obol_payment::{Cti, Kid, UnixTime};
use obol_store::KeyStanding::{Blocked, Good};
use obol_store::{IN_FLIGHT_S, KeysHeard, SqliteStore, ToRenew};

use crate::bench::{Bench, book, kid};

const OTHER: Kid = Kid([9; 4]);
const DAY: UnixTime = NOW.plus(86_400);

fn bind(bench: &Bench, kid: Kid, cti: u8, number: AccountNumber, at: UnixTime) {
    let bound = bench
        .store
        .bind_credential(kid, Cti([cti; 8]), number, DAY, at);
    bound.unwrap();
}

fn to_renew(store: &SqliteStore, number: AccountNumber, now: UnixTime) -> Vec<u8> {
    let ctis = store.credentials_to_renew(number, now).unwrap();
    ctis.into_iter().map(|cti| cti.0[0]).collect()
}

fn blocked(kid: Kid) -> KeysHeard {
    let blocked = vec![kid];
    KeysHeard {
        blocked,
        ..KeysHeard::default()
    }
}

fn lifted(kid: Kid) -> KeysHeard {
    let lifted = vec![kid];
    KeysHeard {
        lifted,
        ..KeysHeard::default()
    }
}

#[test]
fn a_blocked_key_marks_its_live_credentials_and_no_others_also_after_a_restart() {
    let bench = Bench::new();
    let [ada, bob, eve] = [1, 2, 3].map(|phone| bench.passenger(phone));
    for cti in [11, 12] {
        bind(&bench, kid(), cti, ada, NOW);
    }
    bind(&bench, OTHER, 13, ada, NOW);
    bind(&bench, kid(), 21, bob, NOW);
    bind(&bench, OTHER, 31, eve, NOW);
    let expired = bench
        .store
        .bind_credential(kid(), Cti([32; 8]), eve, NOW.plus(1), NOW);
    expired.unwrap();

    let now = NOW.plus(1);
    let heard = bench
        .store
        .hear_of_keys("main", &[(kid(), Blocked), (OTHER, Good)], now);
    assert_eq!(heard.unwrap(), blocked(kid()));
    let reopened = SqliteStore::open(&bench.path(), book()).unwrap();
    for store in [&bench.store, &reopened] {
        assert_eq!(to_renew(store, ada, now), [11, 12]);
        assert_eq!(to_renew(store, bob, now), [21]);
        assert_eq!(to_renew(store, eve, now), [0; 0]);
        assert_eq!(to_renew(store, ada, DAY), [0; 0], "expired meanwhile");
        assert_eq!(store.blocked_by("main").unwrap(), [kid()]);
        let counted = ToRenew {
            credentials: 3,
            wallets: 2,
        };
        assert_eq!(store.to_renew(kid(), now).unwrap(), counted);
    }
}

#[test]
fn the_same_word_again_changes_nothing_and_a_key_that_is_not_named_stays_as_it_was() {
    let bench = Bench::new();
    let ada = bench.passenger(1);
    bind(&bench, kid(), 11, ada, NOW);
    let hear = |keys: &[_], now| bench.store.hear_of_keys("main", keys, now).unwrap();
    assert_eq!(hear(&[(kid(), Blocked)], NOW), blocked(kid()));
    // Signed long after the block, by an issuer that does not hold the key for blocked.
    let late = NOW.plus(IN_FLIGHT_S);
    bind(&bench, kid(), 12, ada, late);
    assert_eq!(hear(&[(kid(), Blocked)], late), KeysHeard::default());
    assert_eq!(hear(&[(OTHER, Good)], late), KeysHeard::default());
    assert_eq!(hear(&[], late), KeysHeard::default());
    assert_eq!(to_renew(&bench.store, ada, late), [11]);
}

#[test]
fn a_credential_that_was_being_signed_when_its_key_was_blocked_is_marked_as_it_comes() {
    let bench = Bench::new();
    let ada = bench.passenger(1);
    let heard = bench.store.hear_of_keys("main", &[(kid(), Blocked)], NOW);
    assert_eq!(heard.unwrap(), blocked(kid()));
    bind(&bench, OTHER, 10, ada, NOW);
    bind(&bench, kid(), 11, ada, NOW.plus(IN_FLIGHT_S - 1));
    bind(&bench, kid(), 12, ada, NOW.plus(IN_FLIGHT_S));
    assert_eq!(to_renew(&bench.store, ada, NOW), [11]);
}

#[test]
fn marks_are_gone_when_the_last_issuer_has_lifted_the_block() {
    let bench = Bench::new();
    let ada = bench.passenger(1);
    bind(&bench, kid(), 11, ada, NOW);
    bind(&bench, OTHER, 12, ada, NOW);
    let hear = |issuer, keys: &[_]| bench.store.hear_of_keys(issuer, keys, NOW).unwrap();
    hear("one", &[(kid(), Blocked), (OTHER, Blocked)]);
    assert_eq!(hear("two", &[(kid(), Blocked)]), blocked(kid()));
    assert_eq!(hear("one", &[(kid(), Good)]), lifted(kid()));
    assert_eq!(to_renew(&bench.store, ada, NOW), [11, 12]);
    assert_eq!(hear("three", &[(kid(), Good)]), KeysHeard::default());
    assert_eq!(hear("two", &[(kid(), Good)]), lifted(kid()));
    assert_eq!(to_renew(&bench.store, ada, NOW), [12]);
    assert_eq!(hear("two", &[(kid(), Blocked)]), blocked(kid()));
    assert_eq!(to_renew(&bench.store, ada, NOW), [11, 12]);
}
