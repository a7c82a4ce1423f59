//! A process that is killed at any moment.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use obol_mint::NOW;
use obol_payment::Cti;
use obol_store::SqliteStore;

use crate::bench::{Bench, FARE, Terminal, book, code};

const CTI: Cti = Cti([7; 8]);
const RIDES: u64 = 40;

fn journal() -> Terminal {
    let mut bus = Terminal::new("bus-1");
    for seq in 1..=RIDES as u32 {
        bus.tap(&code(CTI, seq, NOW.plus(seq), seq as u8));
    }
    bus
}

/// Not a test of its own: the process that `what_was_acknowledged_survives_a_kill` kills. It
/// reads the path of a database, posts one ride after another and says so after each.
#[test]
#[ignore = "run by what_was_acknowledged_survives_a_kill"]
fn child_that_posts_until_it_is_killed() {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    let store = SqliteStore::open(path.trim_end().as_ref(), book()).unwrap();
    let bus = journal();
    for seq in 1..=RIDES {
        let posted = store.post_rides(&bus.upload_of(seq, seq)).unwrap();
        println!("acknowledged {}", posted.watermark);
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    for kill_after in [1, 3, 7] {
        let bench = Bench::new();
        let number = bench.rider(1, CTI);
        let acknowledged = run_and_kill(&bench, kill_after);
        let report = bench.store.check_books().unwrap();
        assert_eq!(report.findings, []);
        let bus = journal();
        let (watermark, _) = bench.store.watermark(&bus.name, bus.epoch).unwrap();
        assert!(
            watermark >= acknowledged,
            "{watermark} of {acknowledged} acknowledged"
        );
        assert_eq!(bench.balance(number), -FARE * watermark as i64);
        assert_eq!(report.transfers, watermark);
        // The terminal sends everything again; nothing is charged twice.
        assert_eq!(bench.post(&bus.upload()).watermark, RIDES);
        assert_eq!(bench.balance(number), -FARE * RIDES as i64);
    }
}

fn run_and_kill(bench: &Bench, kill_after: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::child_that_posts_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", bench.path().display()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    while acknowledged < kill_after {
        let line = lines
            .next()
            .expect("the child speaks until it is killed")
            .unwrap();
        if let Some((_, number)) = line.split_once("acknowledged ") {
            acknowledged = number.parse().unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged
}
