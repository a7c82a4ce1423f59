//! Processes that append and are killed, or run out of disk. The child is this test binary again,
//! in the ignored test below; the folder comes on its standard input.

use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use obol_kms_audit::{AuditError, CheckpointSigner, Disk, LogReader};

use crate::setting::{entry, key, open, verify_disk};

const THREADS: u64 = 4;
const ROUNDS: u64 = 10;

#[test]
#[ignore = "the child of the other tests"]
fn appends_until_it_is_killed_or_the_disk_is_full() {
    let mut folder = String::new();
    stdin().read_line(&mut folder).unwrap();
    let log = Arc::new(open(Path::new(folder.trim())).unwrap());
    let appenders = (0..THREADS).map(|thread| {
        let log = Arc::clone(&log);
        thread::spawn(move || {
            for count in 0_u64.. {
                let entry = format!("{thread} {count} {}", "y".repeat(100));
                match log.append(entry.as_bytes()) {
                    Ok(appended) => say(&format!("ack {} {thread} {count}", appended.index)),
                    Err(AuditError::Stopped(why)) => return say(&format!("stopped {why}")),
                    Err(other) => return say(&format!("odd {other}")),
                }
                if count % 50 == 7 && thread == 0 && log.checkpoint().is_ok() {
                    say("checkpoint");
                }
            }
        })
    });
    let appenders: Vec<_> = appenders.collect();
    appenders
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let after = log.append(&entry(0));
    say(&format!("after {}", after.is_ok()));
}

/// One line in one write, so that a kill leaves no half line in front of the next.
fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

fn start(command: &mut Command, folder: &Path) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", folder.display()).unwrap();
    child
}

const ARGUMENTS: [&str; 4] = [
    "--exact",
    "child::appends_until_it_is_killed_or_the_disk_is_full",
    "--ignored",
    "--nocapture",
];

struct Acknowledged {
    index: u64,
    entry: String,
}

fn acknowledged(lines: &[String]) -> Vec<Acknowledged> {
    let acks = lines.iter().filter_map(|line| line.strip_prefix("ack "));
    acks.map(|line| {
        let (index, entry) = line.split_once(' ').unwrap();
        Acknowledged {
            index: index.parse().unwrap(),
            entry: format!("{entry} {}", "y".repeat(100)),
        }
    })
    .collect()
}

/// Every acknowledged entry stands at its index, and the log is good.
fn demand_all(folder: &Path, acknowledged: &[Acknowledged]) {
    verify_disk(folder, None).unwrap();
    let log = open(folder).unwrap();
    log.checkpoint().unwrap();
    drop(log);
    let disk = Disk::new(folder);
    let reader = LogReader::open(&disk, &[key().key().clone()]).unwrap();
    for ack in acknowledged {
        let found = reader.prove(ack.index).unwrap();
        assert_eq!(String::from_utf8(found.entry).unwrap(), ack.entry);
    }
    verify_disk(folder, None).unwrap();
}

#[test]
fn what_was_acknowledged_before_a_kill_is_in_the_log_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = start(command.args(ARGUMENTS), folder.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        while said.len() < 40 {
            said.push(lines.next().unwrap().unwrap());
        }
        thread::sleep(Duration::from_millis(13 * round));
        child.kill().unwrap();
        said.extend(lines.map_while(Result::ok));
        child.wait().unwrap();
        let acks = acknowledged(&said);
        demand_all(folder.path(), &acks);
        all.extend(acks);
    }
    demand_all(folder.path(), &all);
    assert!(all.len() as u64 > ROUNDS * 20, "{}", all.len());
}

/// A folder with little room, by a file system of its own where that is allowed.
struct Small {
    folder: tempfile::TempDir,
    mounted: bool,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=640k", "obol-small"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        Self { folder, mounted }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if self.mounted {
            let unmounted = Command::new("umount").arg(self.folder.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()) || thread::panicking());
        }
    }
}

fn said_by(mut child: Child) -> Vec<String> {
    let mut said = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    said.lines().map(str::to_owned).collect()
}

fn demand_stopped(said: &[String], folder: &Path) {
    let stops: Vec<_> = said
        .iter()
        .filter(|line| line.starts_with("stopped "))
        .collect();
    assert_eq!(stops.len() as u64, THREADS, "{said:?}");
    assert!(said.contains(&"after false".to_owned()), "{said:?}");
    let acks = acknowledged(said);
    assert!(!acks.is_empty());
    verify_disk(folder, None).unwrap();
}

#[test]
fn on_a_full_disk_every_append_fails_and_nothing_acknowledged_is_lost() {
    let small = Small::new();
    let folder = small.folder.path();
    if !small.mounted {
        return; // the next test does it without a file system of its own
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let said = said_by(start(command.args(ARGUMENTS), folder));
    demand_stopped(&said, folder);
    // With room again, the log opens with everything that was acknowledged.
    let remount = ["-o", "remount,size=8m"];
    let grown = Command::new("mount").args(remount).arg(folder).status();
    assert!(grown.unwrap().success());
    demand_all(folder, &acknowledged(&said));
}

#[test]
fn where_files_may_not_grow_every_append_fails_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    // With the signal ignored, a write beyond the limit fails as on a full disk.
    command.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""]);
    let child = command
        .arg(std::env::current_exe().unwrap())
        .args(ARGUMENTS);
    let said = said_by(start(child, folder.path()));
    demand_stopped(&said, folder.path());
    demand_all(folder.path(), &acknowledged(&said));
}
