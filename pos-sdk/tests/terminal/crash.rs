use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use obol_pos_sdk::{Decision, Terminal};

use crate::world::{FARE, Issuing, Phone, T, World, fares, name, open, rules, trust};

#[test]
fn after_a_crash_between_fsync_and_gate_the_code_opens_it_once_without_a_second_record() {
    let mut world = World::with_rides(1);
    let code = world.phone(2).code(T, 2);
    world.write_down_only(&code, T);
    world.restart();

    let decision = world.terminal().scan(code.as_bytes(), T.plus(5));
    let Decision::AlreadyPaid(granted) = decision else {
        panic!("{decision:?}");
    };
    assert_eq!(granted.record().seq, 2);
    assert_eq!(granted.record().accepted_at, T);
    assert_eq!(granted.record().fare.amount_minor, FARE);
    world.terminal().opened(granted, T.plus(5));
    assert_eq!(world.terminal().journal().check().unwrap(), 2);

    use obol_pos_sdk::RefusalCode::{CodeStale, Duplicate};
    assert_eq!(world.refuse(&code, T.plus(6)), Duplicate);
    assert_eq!(world.refuse(&code, T.plus(61)), CodeStale);
}

#[test]
fn past_its_window_a_paid_code_opens_nothing() {
    let mut world = World::new();
    let code = world.phone(2).code(T, 2);
    world.write_down_only(&code, T);
    world.restart();
    use obol_pos_sdk::RefusalCode::CodeStale;
    assert_eq!(world.refuse(&code, T.plus(61)), CodeStale);
}

impl World {
    /// A terminal that dies after the fsync and before the gate.
    fn write_down_only(&mut self, code: &str, at: obol_pos_sdk::UnixTime) {
        use obol_tap::{FareCharged, PackId};
        use obol_verifier_sdk::{TrustStore, Verifier};
        let trust = trust(&self.issuing);
        let verifier = Verifier {
            trust: TrustStore::new(trust.keys()),
            operator: rules().operator,
        };
        let verified = verifier.verify_text(code.as_bytes(), at).unwrap();
        let fare = FareCharged {
            pack_id: PackId(fares().id().0),
            rule: 10,
            amount_minor: FARE,
        };
        let durable = self
            .terminal()
            .journal()
            .append(verified, fare, 0, 0)
            .unwrap();
        drop(durable);
        self.stop();
    }
}

const ROUNDS: u64 = 10;
const CHILD: &str = "crash::a_terminal_that_takes_rides_until_it_is_killed";

/// The child takes rides as fast as it can and says which ones it granted; it is killed somewhere
/// in the middle, again and again, on one journal.
#[test]
fn every_tap_granted_before_a_kill_is_in_the_journal_after_it() {
    let world = World::new();
    let path = world.path();
    let World {
        terminal, folder, ..
    } = world;
    drop(terminal);
    let mut granted_in_all = 0;
    for round in 0..ROUNDS {
        let before = open(&path).check().unwrap();
        let mut child = start(Command::new(std::env::current_exe().unwrap()), &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut granted = Vec::new();
        let ride = |line: String| line.strip_prefix("granted ").map(str::to_owned);
        while granted.is_empty() {
            granted.extend(ride(lines.next().unwrap().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        granted.extend(lines.map_while(Result::ok).filter_map(ride));

        let journal = open(&path);
        let after = journal.check().unwrap();
        let stored = journal.records(before + 1, usize::MAX >> 1).unwrap();
        assert_eq!(stored.len() as u64, after - before);
        for (line, stored) in granted.iter().zip(&stored) {
            let head = format!("{} {}", stored.record.seq, stored.head);
            // the last line may be cut by the kill
            assert!(head.starts_with(line.as_str()), "{head} {line}");
        }
        assert!(granted.len() <= stored.len(), "round {round}");
        // at most the one ride that was cut off between fsync and gate
        assert!(stored.len() <= granted.len() + 1, "round {round}");
        granted_in_all += granted.len();
    }
    assert!(granted_in_all as u64 >= ROUNDS);
    drop(folder);
}

/// The same child, in a shell that lets no file grow past a few hundred kilobytes: to SQLite, a
/// full disk.
#[test]
fn a_full_disk_refuses_the_tap_and_loses_none() {
    let mut world = World::new();
    world.stop();
    let mut shell = Command::new("sh");
    // the shell counts blocks of 512 or 1024 bytes
    shell.args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\""]);
    shell.arg(std::env::current_exe().unwrap());
    let child = start(shell, &world.path());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let granted = text
        .lines()
        .filter(|line| line.starts_with("granted "))
        .count();
    assert!(text.contains("refused STORAGE_FAULT (20)"), "{text}");
    assert!(granted > 0);
    let stored = open(&world.path()).check().unwrap();
    assert!(
        (granted as u64..=granted as u64 + 1).contains(&stored),
        "{stored} {granted}"
    );

    world.restart();
    let code = world.phone(1).code(T.plus(600), 600);
    assert_eq!(world.grant(&code, T.plus(600)).record.seq, stored + 1);
}

fn start(mut command: Command, journal: &Path) -> Child {
    let mut child = command
        .args(["--exact", CHILD, "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", journal.display()).unwrap();
    child
}

/// Does nothing unless a test above starts it and says where the journal lies.
#[test]
fn a_terminal_that_takes_rides_until_it_is_killed() {
    let mut path = String::new();
    std::io::stdin().read_line(&mut path).unwrap();
    if path.trim().is_empty() {
        return;
    }
    let issuing = Issuing::new();
    let journal = obol_pos_sdk::Journal::open(path.trim().as_ref(), &name()).unwrap();
    let mut terminal = Terminal::new(rules(), trust(&issuing), Some(fares()), journal).unwrap();
    let mut stdout = std::io::stdout();
    // each credential again after its passback interval
    let phones: Vec<_> = (1..=8)
        .map(|number| Phone::new(&issuing, number, T))
        .collect();
    let first = terminal.journal().last_seq().unwrap() as u32;
    for (ride, phone) in (first..).zip(phones.iter().cycle()) {
        let at = T.plus(ride * 40);
        let code = phone.code(at, ride);
        match terminal.scan(code.as_bytes(), at) {
            Decision::Granted(granted) => {
                let seq = granted.record().seq;
                let head = terminal.journal().records(seq, 1).unwrap()[0].head;
                writeln!(stdout, "granted {seq} {head}").unwrap();
                terminal.opened(granted, at);
            }
            Decision::Refused(refusal) => {
                writeln!(stdout, "refused {refusal}").unwrap();
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}
