//! When to try again.

use std::time::Duration;

const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 300_000;

/// Pauses between attempts that fail: from one second, twice as long each time, up to five minutes;
/// a random half of it is left out, so that the buses of a depot do not come back all at once when
/// the network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure; `random` is any 32 random bits.
    #[must_use]
    pub fn after_failure(&mut self, random: u32) -> Duration {
        let longest = FIRST_MS
            .checked_shl(self.failures)
            .map_or(LONGEST_MS, |pause| pause.min(LONGEST_MS));
        self.failures = (self.failures + 1).min(16);
        let half = longest / 2;
        Duration::from_millis(half + ((half * u64::from(random)) >> 32))
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
}
