use obol_credential::UnixTime;

use crate::class::{Algorithm, Class, PayloadType};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::machine::{State, Unpermitted, permits};
use crate::registry::{KeyRecord, Registry, alarm};
use crate::spki::SpkiId;

/// A key that may sign a payload type, at the moment it was asked. Made by [`Registry::signable`]
/// alone; counting a use demands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signable {
    spki: SpkiId,
    class: Class,
    algorithm: Algorithm,
    payload: PayloadType,
    version: u64,
    token_serial: String,
    limits: Limits,
}

/// Why a key may not sign.
#[derive(Debug, thiserror::Error)]
pub enum NotSignable {
    /// No such key.
    #[error("key {0} is not registered")]
    Unknown(SpkiId),
    /// Its class or its state forbids it.
    #[error("{spki}: {reason}")]
    Unpermitted {
        /// The key.
        spki: SpkiId,
        /// Which of the two.
        reason: Unpermitted,
    },
    /// Terminals meet keys of its class, and no plan has cleared it.
    #[error("{spki}: a key of class {class} that no simulated plan has cleared does not sign")]
    Uncleared {
        /// The key.
        spki: SpkiId,
        /// Its class.
        class: Class,
    },
    /// The store failed: nothing is signed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Registry {
    /// Whether this key may sign this now. An attempt on a key that is to be destroyed, is
    /// destroyed or compromised is recorded as an [`Alarm`](crate::Alarm).
    ///
    /// # Errors
    /// [`NotSignable`].
    pub fn signable(
        &self,
        spki: SpkiId,
        payload: PayloadType,
        now: UnixTime,
    ) -> Result<Signable, NotSignable> {
        let key = self.key(spki)?.ok_or(NotSignable::Unknown(spki))?;
        match permits(key.class, key.state, payload) {
            Ok(())
                if key.state == State::Active && key.class.met_by_terminals() && !key.cleared =>
            {
                let class = key.class;
                Err(NotSignable::Uncleared { spki, class })
            }
            Ok(()) => Ok(Signable::of(key, payload)),
            Err(reason) => {
                if raises_alarm(key.state) {
                    self.write("recording an alarm", |transaction| {
                        alarm::raise(transaction, spki, key.state, payload, now)
                    })?;
                }
                Err(NotSignable::Unpermitted { spki, reason })
            }
        }
    }
}

/// Nobody has a reason to use such a key.
fn raises_alarm(state: State) -> bool {
    matches!(
        state,
        State::PendingDestruction | State::Destroyed | State::Compromised
    )
}

impl Signable {
    fn of(key: KeyRecord, payload: PayloadType) -> Signable {
        Signable {
            spki: key.spki,
            class: key.class,
            algorithm: key.algorithm,
            payload,
            version: key.version,
            token_serial: key.token_serial,
            limits: key.limits,
        }
    }

    /// The key.
    #[must_use]
    pub const fn spki(&self) -> SpkiId {
        self.spki
    }

    /// Its class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Its kind.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What it may sign.
    #[must_use]
    pub const fn payload(&self) -> PayloadType {
        self.payload
    }

    /// The key's version when it was asked.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The serial number of its token.
    #[must_use]
    pub fn token_serial(&self) -> &str {
        &self.token_serial
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }
}
