//! The order and the number of uploads must not matter.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use obol_account::AccountNumber;
use obol_mint::NOW;
use obol_payment::Cti;
use obol_payment::ride::{RideOrder, Upload, charged};
use obol_store::{FraudCase, Statement};
use proptest::prelude::*;

use crate::bench::{Bench, Known, Terminal, code};

const RIDERS: [Cti; 2] = [Cti([1; 8]), Cti([2; 8])];
const UNKNOWN: Cti = Cti([3; 8]);

/// Three journals, one record per upload, across a change of fares: honest rides, codes used at two
/// and three terminals, counters used twice, and one code that quarrels with two others.
fn uploads(known: &Known) -> Vec<Upload> {
    let [one, two] = RIDERS;
    let mut buses = ["bus-1", "bus-2", "bus-3"].map(Terminal::new);
    let shared = code(one, 1, NOW, 1);
    for (delay, bus) in [20, 10, 30].into_iter().zip(&mut buses) {
        bus.tap_at(&shared, NOW.plus(delay));
    }
    buses[0]
        .tap(&code(one, 2, NOW.plus(100), 2))
        .tap(&code(two, 1, NOW.plus(110), 3));
    buses[1]
        .tap(&code(two, 2, NOW.plus(120), 4))
        .tap(&code(two, 2, NOW.plus(90), 5));
    // Same time and nonce as rider one's second code, same counter as the third.
    buses[2]
        .tap(&code(one, 3, NOW.plus(100), 2))
        .tap(&code(one, 3, NOW.plus(130), 6));
    buses[2].tap(&code(UNKNOWN, 1, NOW.plus(140), 7));
    buses[0].tap(&code(UNKNOWN, 1, NOW.plus(140), 7));
    let records = |bus: &Terminal| bus.upload().entries().len() as u64;
    let of = |bus: &Terminal| {
        let bus = bus.clone();
        (1..=records(&bus))
            .map(move |seq| bus.upload_to(known, seq, seq))
            .collect::<Vec<_>>()
    };
    buses.iter().flat_map(of).collect()
}

static UPLOADS: LazyLock<Vec<Upload>> = LazyLock::new(|| uploads(&Known::everything()));
/// The same, examined before the platform had the issuer's key.
static REFUSED: LazyLock<Vec<Upload>> = LazyLock::new(|| {
    uploads(&Known {
        keys: Vec::new(),
        ..Known::everything()
    })
});

/// Everything that anybody can see of the books, except when it was first seen.
#[derive(Debug, PartialEq)]
struct Seen {
    statements: Vec<Statement>,
    balances: Vec<(u16, i64)>,
    frauds: Vec<FraudCase>,
}

fn seen<'a>(uploads: impl IntoIterator<Item = &'a Upload>) -> Seen {
    seen_with(uploads, |_, _| {})
}

/// `meanwhile` happens after each upload, of which it is told the number.
fn seen_with<'a>(
    uploads: impl IntoIterator<Item = &'a Upload>,
    meanwhile: impl Fn(&Bench, usize),
) -> Seen {
    let bench = Bench::new();
    let riders: Vec<AccountNumber> = (1..)
        .zip(RIDERS)
        .map(|(phone, cti)| bench.rider(phone, cti))
        .collect();
    for (at, upload) in uploads.into_iter().enumerate() {
        bench.post(upload);
        meanwhile(&bench, at);
        let trial = bench.store.trial_balance().unwrap();
        assert_eq!(trial.difference().unwrap().minor(), 0);
    }
    let statement = |number: &AccountNumber| bench.store.statement(*number, 0, u32::MAX).unwrap();
    let trial = bench.store.trial_balance().unwrap();
    Seen {
        statements: riders.iter().map(statement).collect(),
        balances: trial
            .lines()
            .iter()
            .map(|l| (l.code.number(), l.balance.minor()))
            .collect(),
        frauds: bench.store.fraud_cases().unwrap(),
    }
}

#[test]
fn the_rides_that_are_charged_are_the_ones_the_definition_names() {
    let rides: Vec<(_, RideOrder)> = UPLOADS
        .iter()
        .flat_map(Upload::entries)
        .map(|entry| entry.ride.as_ref().unwrap())
        .map(|ride| (ride.identity(), (ride.accepted_at(), ride.key().clone())))
        .collect();
    let all = rides.iter().map(|(identity, order)| (*identity, order));
    let expected: BTreeSet<String> = charged(all).map(|(_, key)| key.to_string()).collect();
    let fare_of = |key: &String| {
        let entries = UPLOADS.iter().flat_map(Upload::entries);
        let rides = entries.filter_map(|entry| entry.ride.as_ref().ok());
        let mut rides = rides.filter(|ride| ride.key().to_string() == *key);
        i64::from(rides.next().unwrap().fare().amount_minor)
    };
    let seen = seen(UPLOADS.iter());
    let lines: Vec<_> = seen
        .statements
        .iter()
        .flat_map(|statement| &statement.lines)
        .collect();
    let found: BTreeSet<String> = lines.iter().map(|line| line.reference.clone()).collect();
    assert!(found.is_subset(&expected), "{found:?} {expected:?}");
    for line in &lines {
        assert_eq!(line.amount.minor(), -fare_of(&line.reference));
    }
    let sum = |keys: &BTreeSet<String>| keys.iter().map(fare_of).sum::<i64>();
    let unidentified = &expected - &found;
    assert_eq!(unidentified.len(), 1);
    assert_eq!(
        seen.balances,
        [
            (2000, -sum(&found)),
            (2100, sum(&expected)),
            (9000, sum(&unidentified))
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_order_and_any_repetition_of_uploads_ends_in_identical_books(
        order in Just((0..UPLOADS.len()).chain(0..UPLOADS.len()).collect::<Vec<_>>())
            .prop_shuffle(),
    ) {
        static IN_ORDER: LazyLock<Seen> = LazyLock::new(|| seen(UPLOADS.iter()));
        prop_assert_eq!(&seen(order.iter().map(|at| &UPLOADS[*at])), &*IN_ORDER);
    }

    #[test]
    fn rides_refused_at_first_and_charged_later_end_in_the_same_books(
        order in Just((0..UPLOADS.len()).collect::<Vec<_>>()).prop_shuffle(),
        refused in proptest::collection::vec(any::<bool>(), UPLOADS.len()),
        sweep_after in 0..UPLOADS.len(),
    ) {
        static IN_ORDER: LazyLock<Seen> = LazyLock::new(|| seen(UPLOADS.iter()));
        let arriving = order.iter().map(|at| match refused[*at] {
            true => &REFUSED[*at],
            false => &UPLOADS[*at],
        });
        let last = UPLOADS.len() - 1;
        let found = seen_with(arriving, |bench, at| {
            if at == sweep_after || at == last {
                bench.reexamine(&Known::everything());
            }
        });
        prop_assert_eq!(&found, &*IN_ORDER);
    }
}
