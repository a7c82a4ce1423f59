//! Rides that were refused when they arrived, for a reason that passes.

use obol_mint::NOW;
use obol_payment::Cti;
use obol_payment::ride::{RIDE_HORIZON_S, RideRefusal};
use obol_store::{Disposition, Kept, Reposted};

use crate::bench::{Bench, FARE, Known, RECEIVED_AT, Terminal, code};

const CTI: Cti = Cti([7; 8]);

/// A platform whose trust bundle is an hour old, one whose fare packs were lost, one that hears
/// from a terminal whose clock runs ahead.
fn ignorant() -> [(&'static str, Known); 3] {
    let everything = Known::everything();
    let (mut no_key, mut no_pack) = (everything.clone(), everything.clone());
    (no_key.keys, no_pack.packs) = (Vec::new(), Vec::new());
    let early = Known {
        now: NOW.minus(400),
        ..everything
    };
    [
        ("UNKNOWN_KEY", no_key),
        ("FARE_UNKNOWN", no_pack),
        ("CLOCK_FAULT", early),
    ]
}

#[test]
fn a_ride_refused_for_a_passing_reason_is_charged_once_the_reason_is_gone() {
    for (reason, known) in ignorant() {
        let bench = Bench::new();
        let number = bench.rider(1, CTI);
        let mut bus = Terminal::new("bus-1");
        bus.tap(&code(CTI, 1, NOW, 1));
        let posted = bench.post(&bus.upload_to(&known, 1, 1));
        assert_eq!(posted.records[0].disposition, Disposition::Rejected(reason));
        assert_eq!((posted.watermark, bench.balance(number)), (1, 0));
        assert!(RideRefusal::may_pass(reason));

        assert_eq!(bench.reexamine(&known), [Reposted::Rejected(reason)]);
        assert_eq!(bench.balance(number), 0);
        assert_eq!(bench.reexamine(&Known::everything()), [Reposted::Accepted]);
        assert_eq!(bench.balance(number), -FARE, "{reason}");
        assert_eq!(bench.reexamine(&Known::everything()), []);
        let again = bench.post(&bus.upload());
        assert_eq!(again.records[0].disposition, Disposition::Duplicate);
        assert_eq!(bench.balance(number), -FARE);
    }
}

#[test]
fn a_ride_that_came_in_time_is_not_too_old_when_it_is_examined_again() {
    let bench = Bench::new();
    let number = bench.rider(1, CTI);
    let [(_, no_key), ..] = ignorant();
    let mut bus = Terminal::new("bus-1");
    bench.post(&bus.tap(&code(CTI, 1, NOW, 1)).upload_to(&no_key, 1, 1));
    let months_later = Known {
        now: RECEIVED_AT.plus(2 * RIDE_HORIZON_S),
        ..Known::everything()
    };
    assert_eq!(bench.reexamine(&months_later), [Reposted::Accepted]);
    assert_eq!(bench.balance(number), -FARE);
}

#[test]
fn a_forged_record_stays_refused_with_its_reason() {
    let bench = Bench::new();
    bench.rider(1, CTI);
    let [(_, no_key), ..] = ignorant();
    let mut bus = Terminal::new("bus-1");
    let stale = code(CTI, 1, NOW, 1);
    bench.post(&bus.tap_at(&stale, NOW.plus(91)).upload_to(&no_key, 1, 1));
    for _ in 0..2 {
        let found = bench.reexamine(&Known::everything());
        assert_eq!(found, [Reposted::Rejected("CODE_STALE")]);
    }
    assert!(!RideRefusal::may_pass("CODE_STALE"));
    let listed = bench.store.not_charged().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key.to_string(), "bus-1/0101010101010101/1");
    assert_eq!(listed[0].kept, Kept::Rejected("CODE_STALE".into()));
}

#[test]
fn refused_and_quarantined_records_are_listed() {
    let bench = Bench::new();
    let [(_, no_key), ..] = ignorant();
    let (mut bus, mut forked) = (Terminal::new("bus-1"), Terminal::new("bus-1"));
    bench.post(&bus.tap(&code(CTI, 1, NOW, 1)).upload_to(&no_key, 1, 1));
    bench.post(&forked.tap(&code(CTI, 2, NOW, 2)).upload());
    let listed = bench.store.not_charged().unwrap();
    let kept: Vec<_> = listed.iter().map(|record| &record.kept).collect();
    let rejected = Kept::Rejected("UNKNOWN_KEY".into());
    assert_eq!(kept.len(), 2);
    assert!(kept.contains(&&rejected) && kept.contains(&&Kept::Quarantined));
}

#[test]
fn refused_records_are_read_page_by_page() {
    let bench = Bench::new();
    let [(_, no_key), ..] = ignorant();
    for name in ["bus-1", "bus-2", "bus-3"] {
        let mut bus = Terminal::new(name);
        for nonce in 1..=2 {
            bus.tap(&code(CTI, 1, NOW, nonce));
        }
        bench.post(&bus.upload_to(&no_key, 1, 2));
    }
    let all = bench.store.rejected(None).unwrap();
    assert_eq!(all.len(), 6);
    for (at, (record, _)) in all.iter().enumerate() {
        let rest = bench.store.rejected(Some(&record.key)).unwrap();
        assert_eq!(rest, all[at + 1..]);
    }
}
