use obol_ledger::{Amount, Code, Why};
use obol_mint::{DEVICE, Issuer, NOW};
use obol_payment::Cti;
use obol_payment::ride::{Fraud, TerminalName};
use obol_store::{AuthoriseIssueRefused, Disposition, RegisterRefused, Terminal as Registered};
use obol_tap::{FareCharged, PackId};

use crate::bench::{Bench, FARE, Terminal, code, pack};

const CTI: Cti = Cti([7; 8]);

fn dispositions(posted: &obol_store::PostedUpload) -> Vec<Disposition> {
    posted
        .records
        .iter()
        .map(|record| record.disposition)
        .collect()
}

#[test]
fn a_ride_is_charged_to_the_account_of_its_credential() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    bench.recharge(number, 5_000);
    let mut bus = Terminal::new("bus-1");
    let posted = bench.post(&bus.tap(&code(CTI, 1, NOW.plus(1), 1)).upload());
    assert_eq!(dispositions(&posted), [Disposition::Accepted]);
    assert_eq!((posted.watermark, posted.head), (1, bus.head()));
    let statement = bench.store.statement(number, 0, u32::MAX).unwrap();
    assert_eq!(statement.closing.minor(), 5_000 - FARE);
    let ride = &statement.lines[1];
    assert_eq!(
        (ride.why, ride.amount.minor(), ride.at),
        (Why::Ride, -FARE, NOW.0 + 1)
    );
    assert_eq!(ride.reference, "bus-1/0101010101010101/1");
}

#[test]
fn a_ride_posts_below_the_floor() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    bench.post(&Terminal::new("bus-1").tap(&code(CTI, 1, NOW, 1)).upload());
    assert_eq!(bench.balance(number), -FARE);
    let connection = rusqlite::Connection::open(bench.path()).unwrap();
    let forced: i64 = connection
        .query_row("SELECT SUM(forced) FROM ledger_group", [], |row| row.get(0))
        .unwrap();
    assert_eq!(forced, 1);
}

#[test]
fn a_ride_whose_credential_we_never_saw_goes_to_suspense() {
    let bench = Bench::new();
    let posted = bench.post(&Terminal::new("bus-1").tap(&code(CTI, 1, NOW, 1)).upload());
    assert_eq!(dispositions(&posted), [Disposition::Accepted]);
    let trial = bench.store.trial_balance().unwrap();
    let lines: Vec<_> = trial
        .lines()
        .iter()
        .map(|line| (line.code, line.balance.minor()))
        .collect();
    assert_eq!(
        lines,
        [
            (Code::OperatorClearing, FARE),
            (Code::UnidentifiedRide, FARE)
        ]
    );
}

#[test]
fn an_upload_sent_again_changes_nothing() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    let mut bus = Terminal::new("bus-1");
    bus.tap(&code(CTI, 1, NOW, 1))
        .tap(&code(CTI, 2, NOW.plus(9), 2));
    let first = bench.post(&bus.upload());
    let again = bench.post(&bus.upload());
    assert_eq!(dispositions(&again), [Disposition::Duplicate; 2]);
    assert_eq!((again.watermark, again.head), (first.watermark, first.head));
    assert_eq!(bench.balance(number), -2 * FARE);
}

#[test]
fn the_watermark_stops_at_a_gap_and_jumps_when_it_is_filled() {
    let bench = Bench::new();
    let mut bus = Terminal::new("bus-1");
    for seq in 1..=5u8 {
        bus.tap(&code(CTI, seq.into(), NOW.plus(seq.into()), seq));
    }
    assert_eq!(bench.post(&bus.upload_of(4, 5)).watermark, 0);
    assert_eq!(bench.post(&bus.upload_of(1, 2)).watermark, 2);
    let filled = bench.post(&bus.upload_of(2, 3));
    assert_eq!(
        dispositions(&filled),
        [Disposition::Duplicate, Disposition::Accepted]
    );
    assert_eq!((filled.watermark, filled.head), (5, bus.head()));
    assert_eq!(
        bench.store.watermark(&bus.name, bus.epoch).unwrap(),
        (5, bus.head())
    );
}

#[test]
fn another_record_in_a_place_that_is_taken_is_quarantined_and_never_charged() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    bench.post(&Terminal::new("bus-1").tap(&code(CTI, 1, NOW, 1)).upload());
    let mut forked = Terminal::new("bus-1");
    forked
        .tap(&code(CTI, 2, NOW.plus(5), 2))
        .tap(&code(CTI, 3, NOW.plus(9), 3));
    let posted = bench.post(&forked.upload());
    // The second record stands on the first, so it does not fit the journal we hold either.
    assert_eq!(dispositions(&posted), [Disposition::Conflict; 2]);
    assert_eq!(
        (posted.watermark, bench.store.quarantined().unwrap()),
        (1, 2)
    );
    assert_ne!(posted.head, forked.head());
    assert_eq!(bench.balance(number), -FARE);
    bench.post(&forked.upload());
    assert_eq!(bench.store.quarantined().unwrap(), 2);
}

#[test]
fn a_record_that_does_not_lead_to_the_one_we_hold_is_quarantined() {
    let bench = Bench::new();
    let mut bus = Terminal::new("bus-1");
    bus.tap(&code(CTI, 1, NOW, 1))
        .tap(&code(CTI, 2, NOW.plus(9), 2));
    bench.post(&bus.upload_of(2, 2));
    let mut forked = Terminal::new("bus-1");
    let posted = bench.post(&forked.tap(&code(CTI, 3, NOW, 3)).upload());
    assert_eq!(dispositions(&posted), [Disposition::Conflict]);
    assert_eq!(bench.post(&bus.upload_of(1, 1)).watermark, 2);
}

#[test]
fn a_code_used_at_two_terminals_is_one_fraud_case_and_charged_once() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    let relayed = code(CTI, 1, NOW, 1);
    let (mut here, mut there) = (Terminal::new("bus-1"), Terminal::new("bus-2"));
    bench.post(&here.tap_at(&relayed, NOW.plus(20)).upload());
    let posted = bench.post(&there.tap_at(&relayed, NOW.plus(10)).upload());
    assert_eq!(dispositions(&posted), [Disposition::Accepted]);
    assert_eq!(bench.balance(number), -FARE);
    // The earlier ride pays, although it was uploaded later.
    let statement = bench.store.statement(number, 0, u32::MAX).unwrap();
    assert_eq!(statement.lines.len(), 1);
    assert_eq!(statement.lines[0].reference, "bus-2/0101010101010101/1");
    let cases = bench.store.fraud_cases().unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!(
        (cases[0].kind, cases[0].account),
        (Fraud::SecondUse, Some(number))
    );
    assert_eq!(cases[0].contested, "1800000000/01010101");
}

/// Two codes of one credential with one counter, taken at two terminals.
fn reuse_a_counter(bench: &Bench) {
    let (mut here, mut there) = (Terminal::new("bus-1"), Terminal::new("bus-2"));
    bench.post(&here.tap(&code(CTI, 1, NOW, 1)).upload());
    bench.post(&there.tap(&code(CTI, 1, NOW.plus(60), 2)).upload());
}

#[test]
fn two_codes_with_one_counter_are_each_charged_and_a_fraud_case() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    reuse_a_counter(&bench);
    // The phone's key signed both: a rider who sets the counter back does not ride for nothing.
    assert_eq!(bench.balance(number), -2 * FARE);
    let cases = bench.store.fraud_cases().unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!(
        (cases[0].kind, cases[0].contested.as_str()),
        (Fraud::CounterReuse, "1")
    );
}

#[test]
fn an_account_with_an_open_case_of_a_reused_counter_gets_no_credential() {
    let bench = Bench::new();
    let (number, other) = (bench.rider(1, CTI), bench.rider(2, Cti([8; 8])));
    bench.recharge(number, 5_000);
    let authorise = |number| bench.store.authorise_issue(number, Amount::ZERO, NOW);
    assert_eq!(authorise(number).unwrap().amount(), Amount::ZERO);
    reuse_a_counter(&bench);
    let refused = authorise(number).unwrap_err();
    assert!(
        matches!(refused, AuthoriseIssueRefused::CounterReused(found) if found == number),
        "{refused:?}"
    );
    assert_eq!(authorise(other).unwrap().amount(), Amount::ZERO);
    // A phone that was restored from a backup is forgiven by a person.
    assert_eq!(
        bench.store.close_fraud_cases(number, NOW.plus(9)).unwrap(),
        1
    );
    assert_eq!(
        bench.store.close_fraud_cases(number, NOW.plus(9)).unwrap(),
        0
    );
    assert_eq!(authorise(number).unwrap().amount(), Amount::ZERO);
    let cases = bench.store.fraud_cases().unwrap();
    assert_eq!(cases[0].closed_at, Some(NOW.0 + 9));
}

#[test]
fn a_relayed_code_does_not_deny_its_victim_the_next_credential() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    bench.recharge(number, 5_000);
    let relayed = code(CTI, 1, NOW, 1);
    for bus in ["bus-1", "bus-2"] {
        bench.post(&Terminal::new(bus).tap(&relayed).upload());
    }
    assert_eq!(bench.store.fraud_cases().unwrap()[0].kind, Fraud::SecondUse);
    let authorised = bench.store.authorise_issue(number, Amount::ZERO, NOW);
    assert!(authorised.is_ok(), "{authorised:?}");
}

#[test]
fn a_record_that_does_not_verify_is_kept_and_not_charged() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    let mut forged = code(CTI, 1, NOW, 1);
    forged.claims.device_key = Issuer {
        secret: 14,
        ..DEVICE
    }
    .device_key();
    let mut unknown_issuer = code(CTI, 2, NOW, 2);
    unknown_issuer.issuer.secret = 15;
    let stale = code(CTI, 3, NOW, 3);
    let dear = FareCharged {
        pack_id: PackId(pack().id().0),
        rule: 10,
        amount_minor: 201,
    };
    let no_pack = FareCharged {
        pack_id: PackId([0; 8]),
        ..dear
    };
    let mut bus = Terminal::new("bus-1");
    bus.tap(&forged)
        .tap(&unknown_issuer)
        .tap_at(&stale, NOW.plus(61))
        .tap_at(&stale, NOW.minus(31))
        .tap_charging(&code(CTI, 4, NOW, 4), NOW, dear)
        .tap_charging(&code(CTI, 5, NOW, 5), NOW, no_pack)
        .tap(&code(CTI, 6, NOW.plus(4_000), 6))
        .tap(&code(CTI, 7, NOW, 7));
    let posted = bench.post(&bus.upload());
    let reasons = [
        "DEVICE_SIG",
        "UNKNOWN_KEY",
        "CODE_STALE",
        "CODE_FUTURE",
        "FARE_MISMATCH",
        "FARE_UNKNOWN",
        "CLOCK_FAULT",
    ];
    let mut expected = reasons.map(Disposition::Rejected).to_vec();
    expected.push(Disposition::Accepted);
    assert_eq!(dispositions(&posted), expected);
    // A refused record has been received all the same: the terminal need not keep it.
    assert_eq!(posted.watermark, 8);
    assert_eq!(bench.balance(number), -FARE);
}

#[test]
fn a_terminal_is_found_by_its_name_and_a_key_belongs_to_one_terminal() {
    let bench = Bench::new();
    let name = |name| TerminalName::new(name).unwrap();
    let bus = Registered {
        name: name("bus-1"),
        spki: [1; 32],
        operator: "metro".into(),
    };
    bench.store.register_terminal(&bus).unwrap();
    bench.store.register_terminal(&bus).unwrap();
    assert_eq!(
        bench.store.terminal(&name("bus-1")).unwrap(),
        Some(bus.clone())
    );
    assert_eq!(bench.store.terminal(&name("bus-2")).unwrap(), None);
    let other = Registered {
        name: name("bus-2"),
        ..bus
    };
    let refused = bench.store.register_terminal(&other);
    assert!(matches!(refused, Err(RegisterRefused::KeyTaken(holder)) if holder == "bus-1"));
}
