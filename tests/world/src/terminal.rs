use std::path::Path;

use serde_json::Value;

use crate::{Ran, Scanner, Tool, World, WorldError};

/// A terminal on a bus: `obol-pos` in its own folder.
#[derive(Debug)]
pub struct Terminal {
    name: String,
    tool: Tool,
}

/// What network the terminal sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The machine's.
    Loopback,
    /// A network namespace of its own, without routes and with its loopback down.
    None,
}

/// What the terminal said of a boarding code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The gate is open.
    Granted {
        /// Place in the journal.
        seq: u64,
        /// The fare.
        fare_minor: u64,
    },
    /// The gate is open: the code was paid before a crash.
    AlreadyPaid,
    /// The gate stays closed, with the name of the refusal code.
    Refused(String),
    /// The same rider's second reading.
    Ignored,
}

impl Network {
    /// Whether this machine lets us make a network namespace.
    #[must_use]
    pub fn none_is_allowed(world: &World) -> bool {
        let probe = world.tool("obol-pos").under(ISOLATED).run(&["--version"]);
        probe.is_ok_and(|ran| ran.code == 0)
    }
}

/// Root of a user namespace of its own, where that is needed to make a network namespace.
const ISOLATED: &[&str] = &["unshare", "--map-root-user", "--net", "--"];

impl Terminal {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tool: world.tool("obol-pos"),
        }
    }

    /// The same terminal under another network.
    #[must_use]
    pub fn on(mut self, network: Network) -> Self {
        if network == Network::None {
            self.tool = self.tool.under(ISOLATED);
        }
        self
    }

    /// Runs a command of the terminal, its ending the caller's to judge.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran, WorldError> {
        self.tool
            .run(&[&["--dir", &self.name, "--json"], arguments].concat())
    }

    /// Fetches trust bundle and fare pack.
    ///
    /// # Errors
    /// What `obol-pos` has said.
    pub fn sync(&self) -> Result<(), WorldError> {
        self.succeed(&["sync"]).map(drop)
    }

    /// Scans a picture.
    ///
    /// # Errors
    /// When the command fails; a refusal is no failure.
    pub fn scan(&self, picture: &Path) -> Result<Scan, WorldError> {
        Scan::of(&self.run(&["scan", &picture.to_string_lossy()])?)
    }

    /// Takes a text as a keyboard-wedge scanner types it.
    ///
    /// # Errors
    /// When the command fails; a refusal is no failure.
    pub fn type_in(&self, text: &[u8]) -> Result<Ran, WorldError> {
        self.tool
            .run_with_input(&["--dir", &self.name, "--json", "type"], text)
    }

    /// Starts the terminal with a scanner at its keyboard.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn scanner(&self) -> Result<Scanner, WorldError> {
        self.tool
            .interactive(&["--dir", &self.name, "--json", "type"])
            .map(Scanner::new)
    }

    /// Starts the upload that goes on by itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn keep_uploading(&self) -> Result<Scanner, WorldError> {
        self.tool
            .interactive(&["--dir", &self.name, "--json", "upload", "--keep"])
            .map(Scanner::new)
    }

    /// Uploads what the platform does not hold; returns what the terminal said.
    ///
    /// # Errors
    /// What `obol-pos` has said.
    pub fn upload(&self) -> Result<Value, WorldError> {
        let ran = self.succeed(&["upload"])?;
        last_json(&ran)
    }

    fn succeed(&self, arguments: &[&str]) -> Result<Ran, WorldError> {
        let ran = self.run(arguments)?;
        if ran.code == 0 {
            Ok(ran)
        } else {
            Err(ran.unexpected())
        }
    }
}

impl Scan {
    /// Reads the terminal's answer to one code.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(ran: &Ran) -> Result<Self, WorldError> {
        let value = last_json(ran)?;
        let number = |key: &str| value[key].as_u64().ok_or_else(|| ran.unexpected());
        match value["result"].as_str() {
            Some("granted") => Ok(Self::Granted {
                seq: number("seq")?,
                fare_minor: number("fare_minor")?,
            }),
            Some("already_paid") => Ok(Self::AlreadyPaid),
            Some("ignored") => Ok(Self::Ignored),
            Some("refused") => {
                let code = value["code"].as_str().ok_or_else(|| ran.unexpected())?;
                Ok(Self::Refused(code.to_owned()))
            }
            _ => Err(ran.unexpected()),
        }
    }
}

pub(crate) fn last_json(ran: &Ran) -> Result<Value, WorldError> {
    let line = ran.stdout.lines().last().ok_or_else(|| ran.unexpected())?;
    serde_json::from_str(line).map_err(|_| ran.unexpected())
}
