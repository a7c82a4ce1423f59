//! From the tariff an operator writes (TOML) to the fare pack a terminal reads.

mod raw;
mod written;

use alloc::string::String;
use core::fmt;

use crate::{FarePack, PackRefused};

/// The longest tariff file, in bytes.
pub const TARIFF_MAX: usize = 256 * 1024;

/// Why a tariff makes no fare pack. Each is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TariffError {
    /// Longer than [`TARIFF_MAX`].
    TooLong(usize),
    /// Not TOML of the expected shape.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A value that cannot be read.
    Value {
        /// The key.
        key: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// The rules contradict each other.
    Pack(PackRefused),
}

impl fmt::Display for TariffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TariffError::TooLong(bytes) => {
                write!(f, "a tariff has at most {TARIFF_MAX} bytes, not {bytes}")
            }
            TariffError::Syntax { line, reason } => write!(f, "line {line}: {reason}"),
            TariffError::Value {
                key,
                found,
                expected,
            } => write!(f, "{key} is {found:?}, not {expected}"),
            TariffError::Pack(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for TariffError {}

/// Compiles a tariff into a fare pack. Fares are tried in the order in which they stand.
///
/// # Errors
/// [`TariffError`] with the value that is wrong.
pub fn compile(toml: &str) -> Result<FarePack, TariffError> {
    if toml.len() > TARIFF_MAX {
        return Err(TariffError::TooLong(toml.len()));
    }
    FarePack::new(raw::parse(toml)?.check()?).map_err(TariffError::Pack)
}
