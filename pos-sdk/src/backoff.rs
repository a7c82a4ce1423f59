//! When to try again.

use std::time::Duration;

const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 300_000;

/// Pauses between attempts that fail: from one second, twice as long each time, up to a longest; a
/// random half of it is left out, so that the buses of a depot do not come back all at once when
/// the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    longest_ms: u64,
}

/// Up to five minutes: for what may wait, as rides do in the journal.
impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(Duration::from_millis(LONGEST_MS))
    }
}

impl Backoff {
    /// With pauses of at most `longest`. Who looks for news each minute gives that minute: whoever
    /// fails tries again sooner, never later, or one bad quarter of an hour would cost five minutes
    /// of not hearing that a key is blocked.
    #[must_use]
    pub fn up_to(longest: Duration) -> Self {
        Self {
            failures: 0,
            longest_ms: u64::try_from(longest.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The pause after one more failure; `random` is any 32 random bits.
    #[must_use]
    pub fn after_failure(&mut self, random: u32) -> Duration {
        let pause = FIRST_MS.saturating_mul(1 << self.failures);
        self.failures = (self.failures + 1).min(32);
        let half = pause.min(self.longest_ms) / 2;
        let of_half = (u128::from(half) * u128::from(random)) >> 32;
        Duration::from_millis(half + u64::try_from(of_half).expect("less than half"))
    }

    /// An attempt went well: the next pause is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_minutes_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..12)
            .map(|_| backoff.after_failure(u32::MAX).as_millis())
            .collect();
        assert_eq!(pauses[..4], [999, 1999, 3999, 7999]);
        assert_eq!(pauses[9..], [299_999; 3]);
        backoff.reset();
        assert_eq!(backoff.after_failure(u32::MAX).as_millis(), 999);
    }

    #[test]
    fn a_pause_is_never_shorter_than_half_however_long_it_goes_on() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after_failure(0), Duration::from_millis(500));
        for _ in 0..100 {
            let pause = backoff.after_failure(0);
            assert!(pause <= Duration::from_millis(150_000), "{pause:?}");
        }
        assert_eq!(backoff.after_failure(0), Duration::from_millis(150_000));
    }

    #[test]
    fn whoever_looks_each_minute_waits_no_longer_for_having_failed() {
        let minute = Duration::from_secs(60);
        let mut backoff = Backoff::up_to(minute);
        for failure in 0..100 {
            let pause = backoff.after_failure(u32::MAX);
            assert!(pause <= minute, "{pause:?} after {failure}");
        }
        assert_eq!(backoff.after_failure(u32::MAX).as_millis(), 59_999);
        // No overflow, however long and however often.
        let mut backoff = Backoff::up_to(Duration::MAX);
        let longest = (0..100).map(|_| backoff.after_failure(0)).max();
        assert_eq!(longest, Some(Duration::from_secs(1 << 31)));
    }
}
