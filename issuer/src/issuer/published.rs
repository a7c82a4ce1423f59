//! What clients have published beside credentials' standings: blocked keys and fare packs.

use std::collections::{BTreeMap, BTreeSet};

use obol_credential::{Kid, UnixTime};
use obol_fare::{FarePack, PackId};
use thiserror::Error;
use tracing::warn;

use super::{Issuer, Live};
use crate::publisher::{
    PublishError, PushRefused, SharedState, SuspendCommand, SuspendedKey, kids,
};

type Packs = BTreeMap<String, Vec<u8>>;

/// Why nothing is published.
#[derive(Debug, Error)]
pub(crate) enum PublishRefused {
    #[error("this issuer does not stand for publishing the trust repository")]
    NotPublishing,
    #[error("no key of this issuer's bundle has kid {0}")]
    UnknownKey(Kid),
    #[error("no key of this issuer signs for operator {0:?}")]
    UnknownOperator(String),
    #[error(transparent)]
    Push(#[from] PushRefused),
    #[error("a task that wrote the shared folder ended early")]
    Ended,
}

impl From<PublishError> for PublishRefused {
    fn from(error: PublishError) -> Self {
        Self::Push(error.into())
    }
}

impl Issuer {
    /// Blocks a key of the bundle: it signs no more here, and terminals refuse what it signed.
    /// Durable when this returns; the same command again changes nothing and gives what holds.
    ///
    /// # Errors
    /// [`PublishRefused`].
    pub(crate) async fn suspend_key(
        &self,
        kid: Kid,
        command: SuspendCommand,
    ) -> Result<SuspendedKey, PublishRefused> {
        self.known(kid)?;
        let act = move |shared: SharedState| Ok(shared.suspend(kid, command)?);
        let key = self.in_shared_state(act).await?;
        self.take_suspended().await?;
        Ok(key)
    }

    /// Lifts the block of a key of the bundle. Durable when this returns.
    ///
    /// # Errors
    /// [`PublishRefused`].
    pub(crate) async fn resume_key(&self, kid: Kid) -> Result<(), PublishRefused> {
        self.known(kid)?;
        self.in_shared_state(move |shared| Ok(shared.resume(kid)?))
            .await?;
        self.take_suspended().await?;
        Ok(())
    }

    /// Which keys are blocked, by whom; none where nothing is published.
    ///
    /// # Errors
    /// [`PublishRefused`].
    pub(crate) async fn suspended_keys(&self) -> Result<Vec<SuspendedKey>, PublishRefused> {
        match self.shared {
            Some(_) => self.in_shared_state(|shared| Ok(shared.suspended()?)).await,
            None => Ok(Vec::new()),
        }
    }

    /// Takes an operator's pack, for the publisher. Durable when this returns.
    ///
    /// # Errors
    /// [`PublishRefused`].
    pub(crate) async fn push_fares(
        &self,
        operator: &str,
        pack: FarePack,
        replaces: Option<PackId>,
        now: UnixTime,
    ) -> Result<(), PublishRefused> {
        self.serves(operator)?;
        let operator = operator.to_owned();
        let act = move |shared: SharedState| Ok(shared.push(&operator, &pack, replaces, now)?);
        self.in_shared_state(act).await?;
        self.changed.notify_one();
        Ok(())
    }

    /// The pack that is published for an operator.
    ///
    /// # Errors
    /// [`PublishRefused`].
    pub(crate) async fn fares(&self, operator: &str) -> Result<Option<FarePack>, PublishRefused> {
        self.serves(operator)?;
        let operator = operator.to_owned();
        self.in_shared_state(move |shared| Ok(shared.fare_pack(&operator)?))
            .await
    }

    /// What the publisher publishes of it; a key that was blocked at another issuer signs no more
    /// here from now on.
    ///
    /// # Errors
    /// [`PublishError`].
    pub(crate) async fn shared_state(&self) -> Result<(BTreeSet<Kid>, Packs), PublishError> {
        let act = |shared: SharedState| Ok((kids(&shared.suspended()?), shared.fare_packs()?));
        match self.in_shared_state(act).await {
            Ok((suspended, packs)) => {
                self.block(&suspended);
                Ok((suspended, packs))
            }
            Err(PublishRefused::Push(PushRefused::Shared(error))) => Err(error),
            Err(other) => {
                warn!(%other, "the shared folder was not read");
                Ok((BTreeSet::new(), Packs::new()))
            }
        }
    }

    /// Ends when something was commanded that is to be published.
    pub(crate) async fn something_to_publish(&self) {
        self.changed.notified().await;
    }

    /// A command was carried out that the publisher should hear of.
    pub(crate) fn tell_publisher(&self) {
        self.changed.notify_one();
    }

    async fn take_suspended(&self) -> Result<(), PublishRefused> {
        let suspended = self.suspended_keys().await?;
        self.block(&kids(&suspended));
        self.changed.notify_one();
        Ok(())
    }

    fn block(&self, suspended: &BTreeSet<Kid>) {
        if self.live.load().shards.suspended() != suspended {
            self.live.rcu(|live| {
                let mut live = Live::clone(live);
                live.shards = live.shards.suspending(suspended.clone());
                live
            });
        }
    }

    fn known(&self, kid: Kid) -> Result<(), PublishRefused> {
        let (kids, _) = self.listed_keys();
        match kids.contains(&kid) {
            true => Ok(()),
            false => Err(PublishRefused::UnknownKey(kid)),
        }
    }

    fn serves(&self, operator: &str) -> Result<(), PublishRefused> {
        let live = self.live.load();
        match live
            .shards
            .entries()
            .any(|entry| entry.operator == operator)
        {
            true => Ok(()),
            false => Err(PublishRefused::UnknownOperator(operator.to_owned())),
        }
    }

    async fn in_shared_state<T: Send + 'static>(
        &self,
        act: impl FnOnce(SharedState) -> Result<T, PublishRefused> + Send + 'static,
    ) -> Result<T, PublishRefused> {
        let shared = self.shared.clone().ok_or(PublishRefused::NotPublishing)?;
        let done = tokio::task::spawn_blocking(move || act(shared)).await;
        done.map_err(|_| PublishRefused::Ended)?
    }
}
