//! Is the terminal's clock right? It cannot know, but it can know when the clock is wrong: when it
//! shows less than a time that was trustworthy.

use obol_credential::UnixTime;
use obol_verifier_sdk::SKEW_S;

use crate::journal::StoredClock;

/// How far the journal's own times may raise the floor above the last trustworthy time, seconds:
/// what a terminal may run without hearing from the issuer. A clock that once stood years ahead
/// must not stop the terminal for years.
pub const JOURNAL_TRUST_S: u32 = 96 * 3600;

/// The time before which it cannot be.
///
/// It rises from what the issuer signed and from an authenticated server's time, and from the times
/// of the taps by at most [`JOURNAL_TRUST_S`] above those. The way out of `CLOCK_FAULT` is to set
/// the clock right and to let the terminal speak with a server: a server's time that agrees with
/// the clock takes the place of everything that the journal and earlier servers said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFloor {
    server_time: UnixTime,
    last_tap: Option<UnixTime>,
}

/// What an authenticated server's time says of the terminal's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockCheck {
    /// They agree within the clocks' skew, 30 s: the floor starts from here.
    Agrees,
    /// They do not: the clock is this many seconds ahead of the server, or behind it when negative.
    Off {
        /// Clock minus server, seconds.
        by_s: i64,
    },
}

impl From<StoredClock> for ClockFloor {
    fn from(stored: StoredClock) -> Self {
        Self {
            server_time: stored.server_time,
            last_tap: stored.last_tap,
        }
    }
}

impl ClockFloor {
    /// The floor, when the issuer's latest signed time is `signed`.
    #[must_use]
    pub fn at(&self, signed: UnixTime) -> UnixTime {
        let trusted = self.server_time.max(signed);
        let from_taps = self.last_tap.unwrap_or(trusted);
        trusted.max(from_taps.min(trusted.plus(JOURNAL_TRUST_S)))
    }

    /// Whether the clock is wrong for sure.
    #[must_use]
    pub fn is_above(&self, now: UnixTime, signed: UnixTime) -> bool {
        now.plus(SKEW_S) < self.at(signed)
    }

    pub(crate) fn tapped(&mut self, at: UnixTime) {
        self.last_tap = self.last_tap.max(Some(at));
    }

    /// Compares an authenticated server's time with the clock.
    #[must_use]
    pub fn check(server_time: UnixTime, now: UnixTime) -> ClockCheck {
        let by_s = now.since(server_time);
        if by_s.abs() <= i64::from(SKEW_S) {
            ClockCheck::Agrees
        } else {
            ClockCheck::Off { by_s }
        }
    }

    pub(crate) fn confirm(&mut self, server_time: UnixTime) {
        *self = Self {
            server_time,
            last_tap: None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: UnixTime = UnixTime(1_800_000_000);
    const HOUR: u32 = 3600;

    fn floor(server_time: UnixTime, last_tap: UnixTime) -> ClockFloor {
        ClockFloor {
            server_time,
            last_tap: Some(last_tap),
        }
    }

    #[test]
    fn the_floor_is_the_latest_of_what_was_signed_served_and_tapped() {
        assert_eq!(floor(T, T.minus(9)).at(T.plus(5)), T.plus(5));
        assert_eq!(floor(T.plus(7), T.minus(9)).at(T), T.plus(7));
        assert_eq!(floor(T, T.plus(HOUR)).at(T), T.plus(HOUR));
    }

    #[test]
    fn a_tap_years_ahead_raises_it_by_96_hours_at_most() {
        let ahead = floor(UnixTime(0), T.plus(400 * 24 * HOUR));
        assert_eq!(ahead.at(T), T.plus(96 * HOUR));
    }

    #[test]
    fn a_clock_below_it_by_more_than_the_skew_is_wrong() {
        let floor = floor(T, T);
        assert!(!floor.is_above(T.minus(30), T));
        assert!(floor.is_above(T.minus(31), T));
    }

    #[test]
    fn only_a_server_that_agrees_with_the_clock_is_an_exit() {
        assert_eq!(ClockFloor::check(T, T.plus(30)), ClockCheck::Agrees);
        assert_eq!(
            ClockFloor::check(T, T.plus(31)),
            ClockCheck::Off { by_s: 31 }
        );
        assert_eq!(
            ClockFloor::check(T, T.minus(99)),
            ClockCheck::Off { by_s: -99 }
        );
        let mut poisoned = floor(T, T.plus(50 * HOUR));
        poisoned.confirm(T.plus(2));
        assert_eq!(poisoned.at(T), T.plus(2));
    }
}
