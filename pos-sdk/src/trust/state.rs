//! What a terminal believes at one moment: asked at each scan, changed only by an update.

use std::collections::BTreeMap;

use obol_credential::{Claims, Kid, UnixTime};
use obol_tap::TrustHealth;
use obol_trust::{StatusList, StatusListId, SuspendedKeys};
use obol_verifier_sdk::{IssuerKey, KeyStatus, SKEW_S};

use super::Trust;

/// How long a terminal goes on behind the end of its freshness, at a lower cap: 72 h. It departs
/// from TUF on purpose: docs/spec/trust.md section 8 says what it costs.
pub const DEGRADED_S: u32 = 72 * 3600;

/// How fresh the terminal's trust is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within what the repository promised.
    Fresh,
    /// Up to 72 h behind it: a lower cap holds and each record is flagged.
    Degraded,
    /// Behind that too, or behind what no grace is given for: nothing is accepted.
    Expired,
}

impl From<Freshness> for TrustHealth {
    fn from(freshness: Freshness) -> Self {
        match freshness {
            Freshness::Fresh => Self::Fresh,
            Freshness::Degraded => Self::Degraded,
            Freshness::Expired => Self::Expired,
        }
    }
}

/// What the status lists say of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its bit is not set.
    Good,
    /// Its bit is set.
    Denied,
    /// The terminal has no list for its key and day, or the list is too short.
    Missing,
}

/// When what a terminal believes was signed, and until when it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// When the newest timestamp was signed (`x-obol-issued`): the floor of the terminal's clock.
    pub signed_at: UnixTime,
    /// First second at which timestamp, snapshot or deny list are out of date.
    pub fresh_until: UnixTime,
    /// First second at which root or targets are out of date, for which there is no grace.
    pub good_until: UnixTime,
}

/// Everything that a scan asks about trust.
#[derive(Clone, Debug)]
pub struct TrustState {
    keys: Vec<IssuerKey>,
    lists: BTreeMap<StatusListId, StatusList>,
    periods: Periods,
}

impl TrustState {
    /// Puts together what an update brought. Suspended keys stay, marked as such, so that their
    /// credentials are refused with KEY_SUSPENDED rather than UNKNOWN_KEY. The bundle's own end is
    /// an end without grace.
    #[must_use]
    pub fn new(
        trust: &Trust,
        lists: BTreeMap<StatusListId, StatusList>,
        suspended: &SuspendedKeys,
        periods: Periods,
    ) -> Self {
        let mut keys = trust.keys().to_vec();
        for key in &mut keys {
            if suspended.contains(key.kid()) {
                key.status = KeyStatus::Suspended;
            }
        }
        let periods = Periods {
            good_until: periods.good_until.min(trust.expires_at()),
            ..periods
        };
        Self {
            keys,
            lists,
            periods,
        }
    }

    /// The issuer keys, suspended ones marked.
    #[must_use]
    pub fn keys(&self) -> &[IssuerKey] {
        &self.keys
    }

    /// What the status lists say of the credential that `kid` signed with these claims.
    #[must_use]
    pub fn standing(&self, kid: Kid, claims: &Claims) -> Standing {
        let id = StatusListId::of(kid, claims.issued_at);
        let list = self.lists.get(&id);
        match list.and_then(|list| list.denies(claims.fare.status_index)) {
            Some(false) => Standing::Good,
            Some(true) => Standing::Denied,
            None => Standing::Missing,
        }
    }

    /// How fresh it is at `now`.
    #[must_use]
    pub fn freshness(&self, now: UnixTime) -> Freshness {
        let Periods {
            fresh_until,
            good_until,
            ..
        } = self.periods;
        if now >= good_until || now >= fresh_until.plus(DEGRADED_S) {
            Freshness::Expired
        } else if now >= fresh_until {
            Freshness::Degraded
        } else {
            Freshness::Fresh
        }
    }

    /// Whether `now` lies before the newest signed time by more than clocks may differ: then the
    /// terminal's clock is wrong, and old codes would look fresh to it.
    #[must_use]
    pub fn is_from_the_future(&self, now: UnixTime) -> bool {
        now.plus(SKEW_S) < self.periods.signed_at
    }

    /// When it was signed, and until when it is good.
    #[must_use]
    pub fn periods(&self) -> Periods {
        self.periods
    }
}
