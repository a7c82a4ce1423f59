//! A month of taps without a network, and a year with one: a tap costs what it cost on the first
//! day. The cost is counted in what reaches the disk and what is read, not in seconds.

use std::time::{Duration, Instant};

use obol_fault_vfs::{FaultFs, sqlite::mount};
use obol_pos_sdk::{Acknowledgement, Journal, Operator, UnixTime};
use obol_tap::Head;
use obol_verifier_sdk::{TrustStore, Verified, Verifier};

use crate::issuing::{Issuing, Phone};
use crate::setting::{EPOCH, Mountain, T, fare, name};

const DAY_S: u32 = 86_400;

/// Codes of a crowd, day by day.
struct Crowd {
    issuing: Issuing,
    keys: Vec<obol_verifier_sdk::IssuerKey>,
    a_day: u32,
}

impl Crowd {
    fn new(a_day: u32) -> Self {
        let issuing = Issuing::new();
        let key = issuing.root.issuer_key(issuing.certificate()).unwrap();
        Self {
            issuing,
            keys: vec![key],
            a_day,
        }
    }

    fn day(&self, day: u32) -> impl Iterator<Item = Verified> {
        let begin = T.plus(day * DAY_S);
        let verifier = Verifier {
            trust: TrustStore::new(&self.keys),
            operator: Operator::new("metro").unwrap(),
        };
        let riders: Vec<_> = (1..=20)
            .map(|number| Phone::new(&self.issuing, number, begin))
            .collect();
        (0..self.a_day).map(move |tap| {
            let at = begin.plus(tap % 70_000);
            let code = riders[tap as usize % riders.len()].code(at, tap);
            verifier.verify_text(code.as_bytes(), at).unwrap()
        })
    }
}

fn tap(journal: &mut Journal, verified: Verified) {
    let at: UnixTime = verified.at();
    let durable = journal.append(verified, fare(), 0, 0).unwrap();
    journal.opened(durable.grant(), at).unwrap();
}

#[derive(Clone, Copy)]
enum Network {
    None,
    EachNight,
}

/// Writes and syncs of each day, and the size of the disk after it.
fn days(network: Network, count: u32, a_day: u32) -> Vec<(u64, usize)> {
    let (crowd, fs, mountain) = (Crowd::new(a_day), FaultFs::default(), Mountain::new());
    fs.create("journal").unwrap();
    mount(mountain.folder(), &fs);
    std::fs::remove_file(mountain.path()).unwrap();
    let mut journal = Journal::create(&mountain.path(), &name(), EPOCH).unwrap();
    let mut measured = Vec::new();
    for day in 0..count {
        let before = fs.operations();
        crowd.day(day).for_each(|code| tap(&mut journal, code));
        measured.push((fs.operations() - before, fs.size()));
        if let Network::EachNight = network {
            acknowledge_all(&mut journal);
        }
    }
    let expected = u64::from(count) * u64::from(a_day);
    assert_eq!(journal.check().unwrap(), expected);
    measured
}

fn acknowledge_all(journal: &mut Journal) {
    let last = journal.last_seq().unwrap();
    let head: Head = journal.records(last, 1).unwrap()[0].head;
    let acknowledgement = Acknowledgement {
        epoch: EPOCH,
        watermark: last,
        head,
        records: Vec::new(),
    };
    let first = journal.watermark().unwrap() + 1;
    journal.acknowledge(first, &acknowledgement).unwrap();
}

#[test]
fn a_tap_writes_no_more_after_a_month_without_a_network_than_in_its_first_days() {
    let measured = days(Network::None, 30, 64);
    let (early, late) = (measured[4].0, measured[29].0);
    assert!(late * 100 <= early * 115, "{early} and {late} writes a day");
}

#[test]
fn with_a_network_the_journal_does_not_grow_from_the_first_week_on() {
    let measured = days(Network::EachNight, 21, 64);
    let (early, late) = (measured[6].1, measured[20].1);
    assert!(late <= early * 115 / 100, "{early} and {late} bytes");
}

/// Thirty days of 30 000 taps on the disk of this machine. Prints what a tap took on each day.
#[test]
#[ignore = "takes an hour; `make test-long` runs it"]
fn a_month_of_30_000_taps_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let crowd = Crowd::new(30_000);
    let mut journal = Journal::create(&path, &name(), EPOCH).unwrap();
    let mut took = Vec::new();
    for day in 0..30 {
        let mut sum = Duration::ZERO;
        for code in crowd.day(day) {
            let begun = Instant::now();
            tap(&mut journal, code);
            sum += begun.elapsed();
        }
        took.push(sum / 30_000);
        eprintln!("day {}: {:?} a tap", day + 1, took[day as usize]);
    }
    let ratio = took[29].as_secs_f64() / took[0].as_secs_f64();
    eprintln!("the last day's taps took {ratio:.2} times the first day's");
    assert_eq!(journal.check().unwrap(), 900_000);
}
