//! What rides cost that transfer, whichever buses they were taken on and whenever they arrive.

use std::sync::LazyLock;

use obol_account::AccountNumber;
use obol_fare::{
    ClassSet, Currency, FarePack, FareRule, RuleId, Tariff, TransferFare, TransferRule,
};
use obol_mint::NOW;
use obol_payment::ride::Upload;
use obol_payment::{Cti, Transfer};
use obol_store::{AuditFinding, Disposition, Statement};
use obol_tap::{FareCharged, PackId};
use proptest::prelude::*;

use crate::bench::{Bench, Known, Terminal, code, kid};

const FIRST: Cti = Cti([1; 8]);
/// The same account's next credential.
const SECOND: Cti = Cti([2; 8]);
/// Of nobody whom the platform knows.
const UNKNOWN: Cti = Cti([3; 8]);

/// 2.00, and one further ride within ten minutes for nothing.
fn pack() -> FarePack {
    let rules = vec![FareRule::flat(RuleId(10), 1, 200)];
    let cny = Currency::new("CNY").unwrap();
    let mut tariff = Tariff::plain(cny, NOW.minus(86_400), NOW.plus(86_400), rules);
    let transfer = Transfer {
        id: RuleId(90),
        within_s: 600,
        most: 1,
        fare: TransferFare::Free,
    };
    tariff.transfers = vec![TransferRule {
        classes: ClassSet::of(1),
        transfer,
    }];
    FarePack::new(tariff).unwrap()
}

/// What a terminal charges that knows no other ride.
fn own_fare() -> FareCharged {
    FareCharged {
        pack_id: PackId(pack().id().0),
        rule: 10,
        amount_minor: 200,
    }
}

fn known() -> Known {
    Known {
        packs: vec![pack()],
        ..Known::everything()
    }
}

/// A ride `after` seconds on, with a code of its own.
fn ride(bus: &mut Terminal, cti: Cti, after: u32) {
    let number = after as u8 ^ (after >> 8) as u8;
    let at = NOW.plus(after);
    bus.tap_charging(&code(cti, after, at, number), at, own_fare());
}

/// One record each.
fn uploads_of(buses: &[Terminal]) -> Vec<Upload> {
    let known = known();
    let each = |bus: &Terminal| {
        (1..=bus.taken())
            .map(|seq| bus.upload_to(&known, seq, seq))
            .collect::<Vec<_>>()
    };
    buses.iter().flat_map(each).collect()
}

/// An account with both credentials on three buses, a stranger, and a relayed code whose first use
/// is on another bus than the second.
fn uploads() -> Vec<Upload> {
    let mut buses = ["bus-1", "bus-2", "bus-3"].map(Terminal::new);
    ride(&mut buses[0], FIRST, 0);
    ride(&mut buses[1], SECOND, 300);
    ride(&mut buses[2], FIRST, 590);
    ride(&mut buses[0], FIRST, 1_191);
    ride(&mut buses[1], SECOND, 1_791);
    ride(&mut buses[0], UNKNOWN, 10);
    ride(&mut buses[2], UNKNOWN, 20);
    let relayed = code(FIRST, 7, NOW.plus(2_420), 77);
    buses[0].tap_charging(&relayed, NOW.plus(2_430), own_fare());
    buses[1].tap_charging(&relayed, NOW.plus(2_420), own_fare());
    ride(&mut buses[2], SECOND, 3_025);
    uploads_of(&buses)
}

/// An account with both credentials; the statement and the balances behind the uploads.
fn seen<'a>(uploads: impl IntoIterator<Item = &'a Upload>) -> (Statement, Vec<(u16, i64)>) {
    let bench = Bench::new();
    let number = rider(&bench);
    for upload in uploads {
        bench.post(upload);
        assert_eq!(bench.store.check_books().unwrap().findings, []);
    }
    let trial = bench.store.trial_balance().unwrap();
    let lines = trial.lines().iter();
    let balances = lines.map(|line| (line.code.number(), line.balance.minor()));
    let balances = balances.collect();
    (
        bench.store.statement(number, 0, u32::MAX).unwrap(),
        balances,
    )
}

fn rider(bench: &Bench) -> AccountNumber {
    let number = bench.rider(1, FIRST);
    let until = NOW.plus(86_400);
    bench
        .store
        .bind_credential(kid(), SECOND, number, until, NOW)
        .unwrap();
    number
}

/// (seconds, rule, amount) of each line.
fn lines(statement: &Statement) -> Vec<(u32, u16, i64)> {
    let line = |line: &obol_store::StatementLine| {
        let fare = line.fare.unwrap();
        assert_eq!(fare.pack, pack().id());
        (line.at - NOW.0, fare.rule.0, line.amount.minor())
    };
    statement.lines.iter().map(line).collect()
}

#[test]
fn a_transfer_to_another_bus_with_another_credential_is_settled_to_the_cent() {
    let (statement, balances) = seen(&uploads());
    let expected = [
        (0, 10, -200),
        (300, 90, 0),
        (590, 10, -200),   // one transfer a journey
        (1_191, 10, -200), // 601 s after the last journey's beginning
        (1_791, 90, 0),    // 600 s
        (2_420, 10, -200), // the relayed code pays once, where it was used first
        (3_025, 10, -200), // 605 s after it, 595 s after its second use
    ];
    assert_eq!(lines(&statement), expected);
    assert_eq!(statement.closing.minor(), -1_000);
    assert_eq!(balances, [(2000, -1_000), (2100, 1_200), (9000, 200)]);
}

#[test]
fn a_first_ride_that_arrives_late_makes_the_second_one_free_again() {
    let bench = Bench::new();
    let number = rider(&bench);
    let mut buses = ["bus-1", "bus-2"].map(Terminal::new);
    ride(&mut buses[0], FIRST, 0);
    ride(&mut buses[1], SECOND, 300);
    let [first, second] = uploads_of(&buses).try_into().unwrap();
    bench.post(&second);
    assert_eq!(bench.balance(number), -200);
    bench.post(&first);
    assert_eq!(bench.balance(number), -200);
    let statement = bench.store.statement(number, 0, u32::MAX).unwrap();
    assert_eq!(lines(&statement), [(0, 10, -200), (300, 90, 0)]);
}

#[test]
fn a_terminal_may_charge_a_transfer_and_nothing_that_no_journey_gives() {
    let bench = Bench::new();
    let number = rider(&bench);
    let mut bus = Terminal::new("bus-1");
    let charged = |rule, amount_minor| FareCharged {
        rule,
        amount_minor,
        ..own_fare()
    };
    for (at, fare) in [
        (0, charged(90, 0)),
        (1, charged(90, 1)),
        (2, charged(10, 0)),
        (3, charged(91, 0)),
    ] {
        let code = code(FIRST, at, NOW.plus(at), at as u8);
        bus.tap_charging(&code, NOW.plus(at), fare);
    }
    let posted = bench.post(&bus.upload_to(&known(), 1, 4));
    let found: Vec<_> = posted
        .records
        .iter()
        .map(|record| record.disposition)
        .collect();
    let mismatch = Disposition::Rejected("FARE_MISMATCH");
    assert_eq!(found, [Disposition::Accepted, mismatch, mismatch, mismatch]);
    // It was no transfer: nothing came before it.
    assert_eq!(bench.balance(number), -200);
}

#[test]
fn a_charge_that_no_transfer_explains_is_found_in_the_books() {
    let bench = Bench::new();
    let number = rider(&bench);
    let mut bus = Terminal::new("bus-1");
    ride(&mut bus, FIRST, 0);
    bench.post(&uploads_of(&[bus])[0]);
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    let change = |minor: i64| {
        let sql = "UPDATE code_use SET charged_minor = ?1";
        connection.execute(sql, [minor]).unwrap();
    };
    change(199);
    let account = number.wallet();
    let findings = bench.store.check_books().unwrap().findings;
    assert_eq!(findings, [AuditFinding::RidesDiffer { account }]);
    change(200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_order_and_any_repetition_of_uploads_ends_in_the_same_fares(
        order in Just((0..10_usize).chain(0..10).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        static UPLOADS: LazyLock<Vec<Upload>> = LazyLock::new(uploads);
        static IN_ORDER: LazyLock<(Statement, Vec<(u16, i64)>)> =
            LazyLock::new(|| seen(UPLOADS.iter()));
        prop_assert_eq!(UPLOADS.len(), 10);
        prop_assert_eq!(&seen(order.iter().map(|at| &UPLOADS[*at])), &*IN_ORDER);
    }
}
