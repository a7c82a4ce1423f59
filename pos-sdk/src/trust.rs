mod refreshes;
mod source;
mod state;
mod storage;
mod updater;

use miette::Diagnostic;
use obol_credential::UnixTime;
use obol_verifier_sdk::{
    IssuerKey, SKEW_S,
    x509::{AcceptedBundle, BundleRefusal, Root},
};
use thiserror::Error;

pub use refreshes::Refreshes;
pub use source::{FileRequest, Received, Shelf, TrustSource};
pub use state::{DEGRADED_S, Freshness, Periods, Standing, TrustState};
pub use storage::{TrustFolder, TrustStorage};
pub(crate) use storage::{read_limited, replace};
pub use updater::{
    AcceptedSet, BUNDLE_PATH, FILES_BYTES_MAX, FILES_MAX, SUSPENDED_PATH, TrustUpdater,
    UpdateError, status_list_path,
};

/// A trust bundle whose every key was proved by a certificate of the pinned root.
#[derive(Clone, Debug)]
pub struct Trust {
    bundle: AcceptedBundle,
}

/// Why a trust bundle is not believed. The one in use stays.
#[derive(Debug, Error, Diagnostic)]
pub enum TrustRefused {
    /// Not a trust bundle, or a key that the pinned root does not answer for.
    #[error("the trust bundle is not believed: {0}")]
    #[diagnostic(help(
        "check that the provisioning names the root of this deployment; if it does, tell the issuer"
    ))]
    Bundle(BundleRefusal),
    /// Out of date on arrival.
    #[error("the trust bundle expired at {expires_at}, and it is {now}")]
    #[diagnostic(help("check this terminal's clock, then the issuer's bundle"))]
    Expired {
        /// Its end.
        expires_at: UnixTime,
        /// The terminal's time.
        now: UnixTime,
    },
    /// Made by a clock that is ahead of the terminal's.
    #[error("the trust bundle was made at {issued_at}, and it is {now}")]
    #[diagnostic(help("check the issuer's clock and this terminal's: one of them is wrong"))]
    FromTheFuture {
        /// When the issuer says it made the bundle.
        issued_at: UnixTime,
        /// The terminal's time.
        now: UnixTime,
    },
    /// Older than the one in use.
    #[error("the trust bundle of {found} is older than the one in use, of {in_use}")]
    #[diagnostic(help("somebody replays an old bundle, or the issuer's clock was set back"))]
    Older {
        /// When the offered one was made.
        found: UnixTime,
        /// When the one in use was made.
        in_use: UnixTime,
    },
}

impl Trust {
    /// Believes a bundle that `root` answers for. Whether it is out of date is asked at each scan.
    ///
    /// # Errors
    /// [`TrustRefused::Bundle`] when the bundle is malformed or one of its keys is not proved:
    /// then none of them is believed.
    pub fn from_bundle(bytes: &[u8], root: &Root) -> Result<Self, TrustRefused> {
        let bundle = root.accept_bundle(bytes).map_err(TrustRefused::Bundle)?;
        Ok(Self { bundle })
    }

    /// Says whether this bundle may take the place of `in_use` at `now`. A bundle from the future
    /// never may, and one that is in use all the same keeps no other out (docs/spec/trust.md
    /// section 3).
    ///
    /// # Errors
    /// [`TrustRefused::Expired`], [`TrustRefused::FromTheFuture`] and [`TrustRefused::Older`].
    pub fn may_replace(&self, in_use: Option<&Self>, now: UnixTime) -> Result<(), TrustRefused> {
        let (issued_at, expires_at) = (self.issued_at(), self.expires_at());
        if self.has_expired(now) {
            return Err(TrustRefused::Expired { expires_at, now });
        }
        if self.is_from_the_future(now) {
            return Err(TrustRefused::FromTheFuture { issued_at, now });
        }
        match in_use.filter(|in_use| !in_use.is_from_the_future(now)) {
            Some(in_use) if issued_at < in_use.issued_at() => Err(TrustRefused::Older {
                found: issued_at,
                in_use: in_use.issued_at(),
            }),
            _ => Ok(()),
        }
    }

    /// The issuer keys.
    #[must_use]
    pub fn keys(&self) -> &[IssuerKey] {
        self.bundle.keys()
    }

    /// When the issuer made the bundle.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.bundle.issued_at()
    }

    /// The first second at which it is out of date.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.bundle.expires_at()
    }

    /// Whether it is out of date.
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        self.expires_at() <= now
    }

    /// Whether it was made later than `now` by more than clocks may differ: then either clock is
    /// wrong.
    #[must_use]
    pub fn is_from_the_future(&self, now: UnixTime) -> bool {
        now.plus(SKEW_S) < self.issued_at()
    }
}
