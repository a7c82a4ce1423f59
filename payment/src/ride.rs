//! Rides: what the platform believes of a tap, and who pays for it.

mod charge;
mod contest;
mod intake;
mod journey;
mod stored;
mod upload;

pub use charge::{Charge, Posted};
pub use contest::{Charging, Contest, Fraud, RideOrder, charged};
pub use intake::{Intake, RIDE_FUTURE_S, RIDE_HORIZON_S, RideRefusal, VerifiedRide, intake};
pub use journey::{APART_S, Leg, Party, are_apart, fares};
pub use obol_tap::{Epoch, Head, TerminalName};
pub use stored::{Reexamined, StoredRecord, kid_named_by};
pub use upload::{Entry, Upload};

use core::fmt;

use obol_ledger::{Bucket, SourceKey};

/// The business key of a ride: which line of which journal of which terminal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RideKey {
    /// The terminal.
    pub terminal: TerminalName,
    /// The journal.
    pub epoch: Epoch,
    /// The place in the journal, 1..=2^63-1.
    pub seq: u64,
}

impl RideKey {
    /// The part of the inbox it lies in: the terminal's.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        terminal_bucket(&self.terminal)
    }

    /// The key as the ledger spells it: `ferry-1/0011223344556677/17`.
    #[must_use]
    pub fn source_key(&self) -> SourceKey {
        SourceKey::new(self.to_string()).expect("at most 69 characters of a-z, 0-9, - and /")
    }
}

impl fmt::Display for RideKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.terminal, self.epoch, self.seq)
    }
}

/// The bucket of everything a terminal sends.
#[must_use]
pub fn terminal_bucket(terminal: &TerminalName) -> Bucket {
    Bucket::of_bytes(terminal.as_str().as_bytes())
}
