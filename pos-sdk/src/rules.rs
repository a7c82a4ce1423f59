//! What a terminal takes fares for, and how often from one credential.

use obol_credential::UnixTime;
use obol_fare::Zone;
use obol_verifier_sdk::{Novelty, Operator, Passback};

use crate::journal::Uses;

/// Classes that exist: one bit each, 0 ..= 31.
pub const ALL_CLASSES: u32 = u32::MAX;

/// Number of rider classes.
pub const CLASS_COUNT: usize = 32;

/// The longest interval of passback and velocity: a day.
pub const INTERVAL_MAX_S: u32 = 86_400;

/// What a terminal takes fares for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The operator.
    pub operator: Operator,
    /// The rider classes it serves, one bit each.
    pub classes: u32,
    /// What a second code of one credential means, by class.
    pub passback: [Passback; CLASS_COUNT],
    /// How many taps of one credential it takes.
    pub velocity: Velocity,
    /// The highest fare while the trust bundle is stale, minor units. The credential's own cap
    /// stands beside it.
    pub degraded_cap_minor: u32,
    /// The fare zone it stands in at first; see [`crate::Terminal::enter_zone`].
    pub zone: Zone,
}

/// A bound on the taps of one credential at this terminal, companions included. The terminal knows
/// credentials, not accounts: a rider has a few of them at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Velocity {
    /// Taps, at least one.
    pub taps: u32,
    /// Within so many seconds, at most [`INTERVAL_MAX_S`].
    pub within_s: u32,
}

impl Default for Velocity {
    /// Ten taps an hour.
    fn default() -> Self {
        Self {
            taps: 10,
            within_s: 3600,
        }
    }
}

/// The default of [`Rules::degraded_cap_minor`]: 5.00 of most currencies.
pub const DEGRADED_CAP_MINOR: u32 = 500;

impl Rules {
    /// The rules of `operator` for all classes, with every default.
    #[must_use]
    pub fn of(operator: Operator) -> Self {
        Self {
            operator,
            classes: ALL_CLASSES,
            passback: [Passback::default(); CLASS_COUNT],
            velocity: Velocity::default(),
            degraded_cap_minor: DEGRADED_CAP_MINOR,
            zone: Zone::NONE,
        }
    }

    pub(crate) fn serves(&self, class: u8) -> bool {
        self.classes & 1_u32.checked_shl(class.into()).unwrap_or(0) != 0
    }

    /// What another code of a credential is, given what the credential has paid here.
    pub(crate) fn novelty(&self, class: u8, uses: Uses, now: UnixTime) -> Novelty {
        match (uses.last, self.passback.get(usize::from(class))) {
            (None, _) => Novelty::New,
            (Some(last), Some(passback)) => passback.novelty(now.since(last)),
            (Some(_), None) => Novelty::Passback,
        }
    }

    pub(crate) fn too_many(&self, uses: Uses) -> bool {
        uses.count >= self.velocity.taps
    }
}
