//! The test's hand on the shim.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::control::{Control, Refused};

/// The variable that names the real module.
pub const MODULE: &str = "OBOL_SHIM_MODULE";
/// The variable that names the control file.
pub const CONTROL: &str = "OBOL_SHIM_CONTROL";

/// The control file of one world.
#[derive(Debug)]
pub struct Faults {
    control: PathBuf,
    epoch: Cell<u64>,
}

impl Faults {
    /// Takes hold of the shim of every process whose [`CONTROL`] names `control`.
    pub fn at(control: &Path) -> Faults {
        Faults {
            control: control.to_owned(),
            epoch: Cell::new(0),
        }
    }

    /// The variables with which a process finds the real `module` and the control file.
    pub fn environment(&self, module: &Path) -> [(&'static str, PathBuf); 2] {
        [(MODULE, module.to_owned()), (CONTROL, self.control.clone())]
    }

    /// From the next call on, `rules` hold and no others; calls are counted anew.
    ///
    /// # Panics
    /// When a rule is none, or the file cannot be written: the test is wrong then.
    pub fn set(&self, rules: &str) {
        let epoch = self.epoch.get() + 1;
        self.epoch.set(epoch);
        let text = format!("epoch {epoch}\n{rules}\n");
        if let Err(Refused(why)) = Control::parse(&text) {
            panic!("{why}");
        }
        let fresh = self.control.with_extension("fresh");
        fs::write(&fresh, text).expect("a writable folder");
        fs::rename(&fresh, &self.control).expect("a writable folder");
    }

    /// From the next call on, nothing goes wrong.
    pub fn clear(&self) {
        self.set("");
    }

    /// Calls of `function` since the rules were set, in all processes.
    pub fn calls(&self, function: &str) -> u64 {
        let tally = tally(&self.control, self.epoch.get(), function);
        fs::metadata(tally).map_or(0, |tally| tally.len())
    }
}

/// Where the calls of a function are counted: a byte for each.
pub(crate) fn tally(control: &Path, epoch: u64, function: &str) -> PathBuf {
    control.with_extension(format!("{epoch}.{function}"))
}

/// The shim itself, as cargo built it beside the test that asks.
///
/// # Errors
/// When it is not there.
pub fn shim() -> io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folders = executable.ancestors().skip(1).take(2);
    let name = "libobol_pkcs11_shim.so";
    let places = folders.flat_map(|folder| [folder.join(name), folder.join("deps").join(name)]);
    places
        .into_iter()
        .find(|place| place.exists())
        .ok_or_else(|| io::Error::other(format!("{name} is not beside {}", executable.display())))
}
