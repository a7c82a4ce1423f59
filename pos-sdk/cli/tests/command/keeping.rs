//! `obol-pos sync --keep`: what it says, and what it goes on through.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout},
};

use crate::online::Online;

/// The command while it runs; killed when the test is over, however it ends.
struct Keeping {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Keeping {
    fn start(online: &Online) -> Self {
        let mut child = online.world.start(&["sync", "--keep", "--every", "1"]);
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// The next update that went well.
    fn synced(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert!(line.starts_with("SYNCED keys=1 expires="), "{line:?}");
    }

    /// Whether it has not ended by itself; what it said of failures.
    fn end(mut self) -> String {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended by itself");
        self.child.kill().unwrap();
        let mut said = String::new();
        let mut complaints = self.child.stderr.take().unwrap();
        complaints.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // It is dead already where the test went well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_terminal_that_keeps_looking_fetches_again_and_again() {
    let online = Online::new();
    let mut keeping = Keeping::start(&online);
    keeping.synced();
    fs::remove_file(online.world.path("trust-bundle.cbor")).unwrap();
    // One update may have been under way already.
    keeping.synced();
    keeping.synced();
    online.ride(1);
    assert_eq!(keeping.end(), "");
}

#[test]
fn a_failure_is_told_in_two_lines_costs_nothing_and_the_next_attempt_comes_soon() {
    let online = Online::new();
    let mut keeping = Keeping::start(&online);
    keeping.synced();
    let good = online.move_away("issuer_url");
    let mut complaints = BufReader::new(keeping.child.stderr.take().unwrap());
    let mut told = || {
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            complaints.read_line(line).unwrap();
        }
        let missing = "error: cannot reach https://localhost:1/v1/trust-bundle";
        assert!(lines[0].starts_with(missing), "{lines:?}");
        assert!(lines[1].starts_with("help: "), "{lines:?}");
    };
    // The third pause would be one of four seconds if it grew beyond the second between updates;
    // that it does not is told without a clock by `Backoff`'s own test.
    told();
    told();
    online.ride(1);
    fs::write(online.world.path("terminal.toml"), good).unwrap();
    keeping.synced();
    keeping.child.stderr = Some(complaints.into_inner());
    drop(keeping);
}
