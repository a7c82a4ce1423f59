//! A tap, text in to gate open with the ride on disk, beside one fsync and one bare verification.

#![allow(clippy::unwrap_used)] // a benchmark that cannot be set up ends

#[path = "../../../pos-sdk/tests/terminal/issuing.rs"]
mod issuing;

use std::{
    fs::File,
    hint::black_box,
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use issuing::{Issuing, Phone};
use obol_bench::{Budget, Group};
use obol_fare::{Currency, FareRule, RuleId, Tariff};
use obol_pos_sdk::{
    Acknowledgement, Decision, Epoch, FarePack, Journal, JournalFile, Operator, Rules,
    SegmentSigner, Terminal, TerminalName, Trust, UnixTime, Uplink, upload,
};
use obol_tap::{RecordAcknowledgement, RecordStatus, TerminalKey, VerifiedSegment};
use obol_verifier_sdk::{Multiple, TableSize, Tables, TrustStore, Verifier};
use p256::pkcs8::EncodePrivateKey;

const T: UnixTime = UnixTime(1_800_000_000);
const TAPS: u64 = 30_000;
/// The page that SQLite would write at least.
const PAGE: usize = 4096;

fn main() -> io::Result<()> {
    let mut group = Group::new("tap");
    let folder = group.disk()?;
    let issuing = Issuing::new();
    measure(&mut group.criterion(), &folder, &issuing);
    let beside = "fsync_and_verification";
    group.row("tap", Some(beside), Budget::AtMost(1.2))?;
    group.row("fsync", None, Budget::None)?;
    group.row("verification", None, Budget::None)?;
    let (taps, median, slowest) = while_uploading(&folder, &issuing);
    group.time("while_uploading_median", median, beside, Budget::None)?;
    group.time("while_uploading_slowest", slowest, beside, Budget::None)?;
    group.figure("taps_while_uploading", taps as f64, "");
    std::fs::remove_dir_all(&folder)?;
    group.report()
}

fn name() -> TerminalName {
    TerminalName::new("bus-12").unwrap()
}

fn trust(issuing: &Issuing, made: UnixTime) -> Trust {
    Trust::from_bundle(&issuing.bundle(made, |_| {}), &issuing.root).unwrap()
}

fn terminal(path: &Path, issuing: &Issuing) -> Terminal {
    let rule = FareRule::flat(RuleId(10), 1, 200);
    let cny = Currency::new("CNY").unwrap();
    let (begin, end) = (T.minus(86_400), T.plus(86_400));
    let fares = FarePack::new(Tariff::plain(cny, begin, end, vec![rule])).unwrap();
    let journal = Journal::create(path, &name(), Epoch([0xe0; 8])).unwrap();
    let rules = Rules::of(Operator::new("metro").unwrap());
    let trust = trust(issuing, T.minus(3600));
    let mut terminal = Terminal::new(rules, trust, Some(fares), journal).unwrap();
    terminal.prepare();
    terminal
}

/// Codes of as many riders: none is cached, none a duplicate.
fn codes(issuing: &Issuing, riders: std::ops::Range<u64>) -> Vec<String> {
    let code = |rider| Phone::of_rider(issuing, rider, T).code(T, 1);
    riders.map(code).collect()
}

fn tap(terminal: &mut Terminal, code: &str) {
    match terminal.scan(black_box(code.as_bytes()), T) {
        Decision::Granted(granted) => terminal.opened(granted, T),
        other => panic!("{other:?}"),
    }
    assert!(terminal.take_fault().is_none());
}

fn measure(criterion: &mut criterion::Criterion, folder: &Path, issuing: &Issuing) {
    let keys = [issuing.root.issuer_key(issuing.certificate()).unwrap()];
    let size = TableSize::default();
    let mut room = vec![Multiple::EMPTY; size.room_for(1)];
    let verifier = Verifier {
        trust: TrustStore::new(&keys).with_tables(Tables::build(size, &keys, &mut room)),
        operator: Operator::new("metro").unwrap(),
    };
    let code = codes(issuing, 0..1).remove(0);
    let verify = || assert!(verifier.verify_text(black_box(code.as_bytes()), T).is_ok());
    let mut file = File::create(folder.join("beside")).unwrap();
    let mut fsync = || {
        file.write_all(black_box(&[7; PAGE])).unwrap();
        file.sync_data().unwrap();
    };
    let mut group = criterion.benchmark_group("tap");
    group.bench_function("verification", |b| b.iter(verify));
    group.bench_function("fsync", |b| b.iter(&mut fsync));
    group.bench_function("fsync_and_verification", |b| {
        b.iter(|| {
            verify();
            fsync();
        });
    });
    let mut terminal = terminal(&folder.join("journal"), issuing);
    let mut riders = 0;
    group.bench_function("tap", |b| {
        b.iter_custom(|count| {
            let codes = codes(issuing, riders..riders + count);
            riders += count;
            let begun = Instant::now();
            codes.iter().for_each(|code| tap(&mut terminal, code));
            begun.elapsed()
        });
    });
    group.finish();
}

/// A platform that believes what it can verify, on the other core.
struct Platform(TerminalKey);

impl Uplink for Platform {
    type Error = std::convert::Infallible;

    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error> {
        let segment = VerifiedSegment::decode(segment, &self.0).unwrap();
        let records = segment.records();
        let status = |seq| RecordAcknowledgement {
            seq,
            status: RecordStatus::Accepted,
        };
        let first = segment.first_seq();
        let behind = first + records.len() as u64;
        Ok(Acknowledgement {
            epoch: segment.epoch(),
            watermark: behind - 1,
            head: records.last().unwrap().head,
            records: (first..behind).map(status).collect(),
        })
    }
}

/// Taps while everything before them is uploaded and a new bundle is believed among them: how many,
/// their median and the slowest, microseconds.
fn while_uploading(folder: &Path, issuing: &Issuing) -> (usize, f64, f64) {
    let path = folder.join("full");
    let mut terminal = terminal(&path, issuing);
    for begin in (0..TAPS).step_by(1000) {
        let codes = codes(issuing, begin..begin + 1000);
        codes.iter().for_each(|code| tap(&mut terminal, code));
    }
    let fresh = codes(issuing, TAPS..TAPS + 2000);
    let uploading = AtomicBool::new(true);
    let mut times: Vec<Duration> = Vec::new();
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut journal = JournalFile::open(&path, &name()).unwrap();
            let secret = p256::SecretKey::from_slice(&[0x21; 32]).unwrap();
            let pem = secret.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap();
            let signer = SegmentSigner::from_pkcs8_pem(&pem).unwrap();
            let mut platform = Platform(signer.public().clone());
            let done = upload(&mut journal, &signer, &mut platform).unwrap();
            assert!(done.watermark >= TAPS);
            uploading.store(false, Ordering::Relaxed);
        });
        for (number, code) in fresh.iter().enumerate() {
            let begun = Instant::now();
            if number == 20 {
                terminal.believe(trust(issuing, T.minus(60)), T).unwrap();
            }
            tap(&mut terminal, code);
            times.push(begun.elapsed());
            if !uploading.load(Ordering::Relaxed) && number > 20 {
                break;
            }
        }
    });
    times.sort_unstable();
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    (times.len(), microseconds(median), microseconds(slowest))
}
