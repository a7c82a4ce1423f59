//! A world in a folder of its own, and what every claim asks of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use obol_credential::{Credential, Presentation, from_text};
use obol_world::{Passenger, Ports, Ran, Scan, World};
use serde_json::Value;
use tempfile::TempDir;

/// The flat fare of every world, in minor units.
pub(crate) const FARE: u64 = 200;

/// How long something that must happen may take on a busy machine.
const EVENTUALLY: Duration = Duration::from_secs(60);

/// A world and the folder that goes with it.
pub(crate) struct Stage {
    pub(crate) world: World,
    _folder: TempDir,
}

impl Stage {
    /// Everything runs, and the terminals named are synced.
    pub(crate) fn running(terminals: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let world = World::running(folder.path(), terminals).unwrap();
        Self {
            world,
            _folder: folder,
        }
    }

    /// Tokens alone: nothing is certified and nothing runs.
    pub(crate) fn with_tokens() -> Self {
        let stage = Self::empty();
        stage.world.prepare_tokens().unwrap();
        stage
    }

    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let world = World::new(folder.path(), Ports::any()).unwrap();
        Self {
            world,
            _folder: folder,
        }
    }

    /// A passenger with 50.00 and a credential.
    pub(crate) fn rider(&self, name: &str) -> Passenger {
        let rider = self.world.passenger(name);
        rider.enrol().unwrap();
        rider.recharge("50.00").unwrap();
        eventually("the recharge is credited", || amounts(&rider) == [5_000]);
        rider.refresh().unwrap();
        rider
    }

    /// A file of the world.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.folder().join(name)).unwrap()
    }

    /// Writes a file of the world.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.world.folder().join(name), text).unwrap();
    }

    /// Rides once on the terminal with a credential of its own, so that no passback rule stands
    /// in the way, and demands that the gate opens.
    pub(crate) fn ride(&self, rider: &Passenger, terminal: &str, seq: u64) {
        rider.refresh().unwrap();
        let code = rider.show("ride.png").unwrap();
        let scan = self.world.terminal(terminal).scan(&code).unwrap();
        assert_eq!(scan, granted(seq), "ride {seq} on {terminal}");
    }
}

/// A failed claim shows what the services had to say.
impl Drop for Stage {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for service in ["kms", "issuer", "platform", "bank"] {
            match self.world.log(service) {
                Ok(log) => eprintln!("--- {service}\n{log}"),
                Err(none) => eprintln!("--- {none}"),
            }
        }
    }
}

/// The gate opened for the record `seq`, at the flat fare.
pub(crate) fn granted(seq: u64) -> Scan {
    Scan::Granted {
        seq,
        fare_minor: FARE,
    }
}

/// The gate stayed closed with this code.
pub(crate) fn refused(code: &str) -> Scan {
    Scan::Refused(code.to_owned())
}

/// What each line of the statement moved.
pub(crate) fn amounts(rider: &Passenger) -> Vec<i64> {
    let lines = rider.statement().unwrap();
    lines.iter().map(|line| line.amount_minor).collect()
}

/// Demands the exit code and exactly two lines on standard error, the second `help: …`; returns
/// what stands behind `error: ` and behind `help: `.
pub(crate) fn two_lines(ran: &Ran, code: i32) -> (String, String) {
    assert_eq!(ran.code, code, "{ran:?}");
    let lines: Vec<_> = ran.stderr.lines().collect();
    let [error, help] = lines[..] else {
        panic!("not two lines: {ran:?}");
    };
    let behind = |line: &str, word: &str| {
        let rest = line.strip_prefix(word);
        rest.unwrap_or_else(|| panic!("no {word:?}: {ran:?}"))
            .to_owned()
    };
    (behind(error, "error: "), behind(help, "help: "))
}

/// The last line of standard output as JSON.
pub(crate) fn json(ran: &Ran) -> Value {
    let line = ran.stdout.lines().last();
    let line = line.unwrap_or_else(|| panic!("no output: {ran:?}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Waits until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < EVENTUALLY, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until there is one.
pub(crate) fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = look();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("{what}"))
}

/// Shows the presentation of a boarding code.
pub(crate) fn presented<T>(text: &str, show: impl FnOnce(&Presentation<'_>) -> T) -> T {
    let bytes = from_text(text.as_bytes()).unwrap();
    show(&Presentation::decode(&bytes).unwrap())
}

/// Status index, device key and cti of a boarding code's credential.
pub(crate) fn names(text: &str) -> (u32, [u8; 33], [u8; 8]) {
    presented(text, |presentation| {
        let credential: &Credential<'_> = presentation.credential();
        let claims = credential.claims();
        (
            claims.fare.status_index,
            *claims.device_key.as_sec1(),
            claims.cti.0,
        )
    })
}
