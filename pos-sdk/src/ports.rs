//! What a terminal's engine needs from the box it runs on. Storage is the journal's SQLite file,
//! the network is [`Uplink`](crate::Uplink).

use obol_credential::UnixTime;
use obol_verifier_sdk::Refusal;

use crate::Granted;

/// The box's clock, seconds since 1970 UTC. The engine checks it against its floor.
pub trait Clock {
    /// The time now.
    fn now(&mut self) -> UnixTime;
}

impl<F: FnMut() -> UnixTime> Clock for F {
    fn now(&mut self) -> UnixTime {
        self()
    }
}

/// Where texts come from.
pub trait Scanner {
    /// Why there is none.
    type Error;

    /// The next text, with its line end or without; `None` when the scanner is done. A scanner
    /// cuts what is longer than [`TEXT_MAX`](crate::TEXT_MAX) bytes.
    ///
    /// # Errors
    /// When the scanner fails.
    fn next_text(&mut self) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Why a gate opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A new ride, on disk.
    Granted,
    /// A ride that was on disk before and whose gate never opened: nothing was written again.
    AlreadyPaid,
}

/// The gate, the lamp, the beep.
pub trait Door {
    /// Why it did not do what it was told.
    type Error;

    /// Opens for a ride that is on disk. After an error the same code opens it again, within its
    /// window, and is not charged again.
    ///
    /// # Errors
    /// When the gate did not open.
    fn open(&mut self, ride: &Granted, why: Opening) -> Result<(), Self::Error>;

    /// Stays closed and says why. `None`: the second reading of a code that has just been taken,
    /// for which nothing is said.
    ///
    /// # Errors
    /// When the refusal could not be shown.
    fn stay_closed(&mut self, refusal: Option<&Refusal>) -> Result<(), Self::Error>;
}

/// What became of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The gate is open.
    Opened(Opening),
    /// The gate stayed closed.
    Refused(Refusal),
    /// The gate stayed as it was and nothing was said.
    Ignored,
}
