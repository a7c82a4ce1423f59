//! What a terminal believes: a trust bundle alone, or all that an update of the trust repository
//! brought.

use obol_credential::{RefusalCode, UnixTime};
use obol_verifier_sdk::{IssuerKey, Refusal, Verified};

use crate::{DEGRADED_S, Freshness, Standing, Trust, TrustState};

/// What a terminal believes at one moment.
#[derive(Clone, Debug)]
pub enum Belief {
    /// A trust bundle alone: no status list is asked, and its end is the end of its freshness.
    Bundle(Trust),
    /// What an update of the trust repository brought: each credential must stand in a status list.
    State(TrustState),
}

impl From<Trust> for Belief {
    fn from(trust: Trust) -> Self {
        Self::Bundle(trust)
    }
}

impl From<TrustState> for Belief {
    fn from(state: TrustState) -> Self {
        Self::State(state)
    }
}

impl Belief {
    pub(crate) fn keys(&self) -> &[IssuerKey] {
        match self {
            Self::Bundle(trust) => trust.keys(),
            Self::State(state) => state.keys(),
        }
    }

    /// The latest time that the issuer signed.
    pub(crate) fn signed_at(&self) -> UnixTime {
        match self {
            Self::Bundle(trust) => trust.issued_at(),
            Self::State(state) => state.periods().signed_at,
        }
    }

    pub(crate) fn freshness(&self, now: UnixTime) -> Freshness {
        match self {
            Self::Bundle(trust) if now < trust.expires_at() => Freshness::Fresh,
            Self::Bundle(trust) if now < trust.expires_at().plus(DEGRADED_S) => Freshness::Degraded,
            Self::Bundle(_) => Freshness::Expired,
            Self::State(state) => state.freshness(now),
        }
    }

    /// Whether the credential is neither denied nor unknown to the status lists.
    pub(crate) fn check_status(&self, verified: &Verified) -> Result<(), Refusal> {
        let Self::State(state) = self else {
            return Ok(());
        };
        match state.standing(verified.kid(), verified.claims()) {
            Standing::Good => Ok(()),
            Standing::Denied => Err(DENIED),
            Standing::Missing => Err(STATUS_MISSING),
        }
    }
}

const DENIED: Refusal = Refusal {
    code: RefusalCode::Denied,
    rule: "the status list denies the credential",
};
const STATUS_MISSING: Refusal = Refusal {
    code: RefusalCode::StatusMissing,
    rule: "no status list covers the credential",
};
