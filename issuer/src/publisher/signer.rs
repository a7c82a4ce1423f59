use std::fmt;

use miette::Diagnostic;
use p256::ecdsa::VerifyingKey;
use thiserror::Error;

/// A role whose key is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlineRole {
    /// Freshness.
    Timestamp,
    /// Which versions belong together.
    Snapshot,
    /// Status lists and suspended keys.
    Denylist,
    /// Fare packs.
    Fares,
}

impl OnlineRole {
    /// All of them.
    pub const ALL: [OnlineRole; 4] = [
        OnlineRole::Timestamp,
        OnlineRole::Snapshot,
        OnlineRole::Denylist,
        OnlineRole::Fares,
    ];

    /// Its name in the metadata.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Denylist => "denylist",
            Self::Fares => "fares",
        }
    }
}

impl fmt::Display for OnlineRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No signature.
#[derive(Debug, Error, Diagnostic)]
#[error("{role} could not be signed")]
#[diagnostic(help("check the key management daemon; the repository stays as it was"))]
pub struct SignFailed {
    role: OnlineRole,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl SignFailed {
    /// For `role`, because of `source`.
    #[must_use]
    pub fn new(role: OnlineRole, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { role, source }
    }
}

/// A P-256 key that signs for a role. Only what the role's type lets through is signed: the key
/// management parses the canonical form again.
pub trait RoleSigner: Send + Sync {
    /// Its public half.
    fn key(&self) -> &VerifyingKey;

    /// ECDSA with SHA-256 over the canonical form of the role's metadata: r ‖ s.
    ///
    /// # Errors
    /// [`SignFailed`].
    fn sign(
        &self,
        role: OnlineRole,
        canonical: &[u8],
    ) -> impl Future<Output = Result<[u8; 64], SignFailed>> + Send;

    /// One of the keys that officers have named for the role in the place of this one; `None` when
    /// the key management has none of them.
    ///
    /// # Errors
    /// [`SignFailed`] when it cannot be asked.
    fn successor(
        &self,
        role: OnlineRole,
        named: &[VerifyingKey],
    ) -> impl Future<Output = Result<Option<Self>, SignFailed>> + Send
    where
        Self: Sized;
}

/// The keys of the online roles; several may be one key.
#[derive(Debug)]
pub struct OnlineKeys<S> {
    /// For `timestamp`.
    pub timestamp: S,
    /// For `snapshot`.
    pub snapshot: S,
    /// For `denylist`.
    pub denylist: S,
    /// For `fares`.
    pub fares: S,
}

impl<S> OnlineKeys<S> {
    pub(super) fn of(&self, role: OnlineRole) -> &S {
        match role {
            OnlineRole::Timestamp => &self.timestamp,
            OnlineRole::Snapshot => &self.snapshot,
            OnlineRole::Denylist => &self.denylist,
            OnlineRole::Fares => &self.fares,
        }
    }

    pub(super) fn replace(&mut self, role: OnlineRole, signer: S) {
        let place = match role {
            OnlineRole::Timestamp => &mut self.timestamp,
            OnlineRole::Snapshot => &mut self.snapshot,
            OnlineRole::Denylist => &mut self.denylist,
            OnlineRole::Fares => &mut self.fares,
        };
        *place = signer;
    }
}
