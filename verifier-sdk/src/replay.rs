use core::fmt;

use obol_credential::UnixTime;

use crate::{CodeIdentity, SKEW_S, WINDOW_MAX_S};

/// A second code of one credential within this time is a scanner's or a rider's second reading:
/// it changes nothing and tells the rider nothing. Seconds.
pub const SILENCE_S: i64 = 3;

/// How long a code can still verify after it was taken, seconds.
const REPLAYABLE_S: u32 = WINDOW_MAX_S as u32 + 2 * SKEW_S;

/// What a second code of one credential means within the passback interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithinInterval {
    /// The rider hands the phone back: refused with `PASSBACK`.
    Refuse,
    /// The rider pays for a companion: another tap.
    Companion,
}

/// The passback rule of a rider class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passback {
    /// Length of the interval, seconds.
    pub interval_s: u32,
    /// What happens within it.
    pub within: WithinInterval,
}

impl Default for Passback {
    /// Five minutes, refused.
    fn default() -> Self {
        Self {
            interval_s: 300,
            within: WithinInterval::Refuse,
        }
    }
}

impl Passback {
    /// What another code of a credential is, `age_s` seconds after the last one was taken. A clock
    /// that was set back must not open the gate twice: a negative age counts as within.
    #[must_use]
    pub fn novelty(&self, age_s: i64) -> Novelty {
        if age_s < SILENCE_S {
            Novelty::Silent
        } else if age_s >= i64::from(self.interval_s) {
            Novelty::New
        } else {
            match self.within {
                WithinInterval::Refuse => Novelty::Passback,
                WithinInterval::Companion => Novelty::Companion,
            }
        }
    }
}

/// What a verified code is to this terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Not seen before: a tap.
    New,
    /// Another code of a credential that was just used, and the class pays for companions: a tap.
    Companion,
    /// This very code was taken before.
    Duplicate,
    /// Another code of a credential used less than three seconds ago: ignored without a word.
    Silent,
    /// Another code of a credential used within the passback interval.
    Passback,
}

/// All places are taken by codes that could still be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardFull;

impl fmt::Display for GuardFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the duplicate guard has no place left")
    }
}

impl core::error::Error for GuardFull {}

/// For a host whose journal cannot be asked: remembers the codes it has taken, `N` at most, each
/// until it can neither be replayed nor fall into a passback interval. After a restart the host
/// fills it again.
#[derive(Clone, Debug)]
pub struct ReplayGuard<const N: usize> {
    taken: [Option<Taken>; N],
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    code: CodeIdentity,
    at: UnixTime,
    forget_after: UnixTime,
}

impl<const N: usize> Default for ReplayGuard<N> {
    fn default() -> Self {
        Self { taken: [None; N] }
    }
}

impl<const N: usize> ReplayGuard<N> {
    /// What `code` is at `now`. Changes nothing: a code counts only once it was taken.
    #[must_use]
    pub fn check(&self, code: &CodeIdentity, now: UnixTime, rule: Passback) -> Novelty {
        if self.taken.iter().flatten().any(|taken| taken.code == *code) {
            return Novelty::Duplicate;
        }
        let same_credential =
            |taken: &&Taken| (taken.code.kid, taken.code.cti) == (code.kid, code.cti);
        let last = self
            .taken
            .iter()
            .flatten()
            .filter(same_credential)
            .map(|taken| taken.at)
            .max();
        last.map_or(Novelty::New, |last| rule.novelty(now.since(last)))
    }

    /// Remembers that `code` was taken at `at`, in the place of one that no longer matters.
    ///
    /// # Errors
    /// [`GuardFull`] when every remembered code still matters: the tap must be refused, because
    /// its replay could not be told.
    pub fn remember(
        &mut self,
        code: CodeIdentity,
        at: UnixTime,
        rule: Passback,
    ) -> Result<(), GuardFull> {
        let forget_after = at.plus(rule.interval_s.max(REPLAYABLE_S));
        let free = |place: &&mut Option<Taken>| place.is_none_or(|taken| taken.forget_after < at);
        let place = self.taken.iter_mut().find(free).ok_or(GuardFull)?;
        *place = Some(Taken {
            code,
            at,
            forget_after,
        });
        Ok(())
    }

    /// Whether [`ReplayGuard::remember`] would find a place at `at`: asked before a tap is made
    /// durable, so that a full guard refuses the tap instead of forgetting it.
    #[must_use]
    pub fn has_room(&self, at: UnixTime) -> bool {
        self.taken
            .iter()
            .any(|place| place.is_none_or(|taken| taken.forget_after < at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use obol_credential::{Cti, Kid, Nonce};

    const T: UnixTime = UnixTime(1_800_000_000);
    const COMPANION: Passback = Passback {
        interval_s: 300,
        within: WithinInterval::Companion,
    };

    fn code(cti: u8, nonce: u8) -> CodeIdentity {
        CodeIdentity {
            kid: Kid([1; 4]),
            cti: Cti([cti; 8]),
            issued_at: T,
            nonce: Nonce([nonce; 4]),
        }
    }

    fn guard_with(taken: CodeIdentity) -> ReplayGuard<2> {
        let mut guard = ReplayGuard::default();
        guard.remember(taken, T, Passback::default()).unwrap();
        guard
    }

    #[test]
    fn the_same_code_is_a_duplicate_at_any_age() {
        let guard = guard_with(code(1, 1));
        for age in [0, 1, 3, 299, 300, 100_000] {
            let novelty = guard.check(&code(1, 1), T.plus(age), COMPANION);
            assert_eq!(novelty, Novelty::Duplicate, "after {age} s");
        }
    }

    #[test]
    fn another_code_of_the_credential_follows_the_passback_rule() {
        let guard = guard_with(code(1, 1));
        let after = |age, rule| guard.check(&code(1, 2), T.plus(age), rule);
        assert_eq!(after(2, COMPANION), Novelty::Silent);
        assert_eq!(after(3, COMPANION), Novelty::Companion);
        assert_eq!(after(3, Passback::default()), Novelty::Passback);
        assert_eq!(after(299, Passback::default()), Novelty::Passback);
        assert_eq!(after(300, Passback::default()), Novelty::New);
    }

    #[test]
    fn a_clock_set_back_does_not_make_a_second_tap() {
        let guard = guard_with(code(1, 1));
        assert_eq!(
            guard.check(&code(1, 2), T.minus(9_999), COMPANION),
            Novelty::Silent
        );
    }

    #[test]
    fn another_credential_is_new() {
        let guard = guard_with(code(1, 1));
        assert_eq!(
            guard.check(&code(2, 1), T, Passback::default()),
            Novelty::New
        );
    }

    #[test]
    fn a_full_guard_refuses_rather_than_forgets() {
        let mut guard = guard_with(code(1, 1));
        guard
            .remember(code(2, 1), T.plus(1), Passback::default())
            .unwrap();
        assert!(!guard.has_room(T.plus(300)));
        let refused = guard.remember(code(3, 1), T.plus(300), Passback::default());
        assert_eq!(refused, Err(GuardFull));
        assert!(guard.has_room(T.plus(301)));
        guard
            .remember(code(3, 1), T.plus(301), Passback::default())
            .unwrap();
        assert_eq!(
            guard.check(&code(2, 1), T.plus(301), COMPANION),
            Novelty::Duplicate
        );
    }
}
