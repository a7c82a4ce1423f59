//! Whether a credential could be signed now.

use std::error::Error;
use std::time::Duration;

use obol_credential::{Kid, UnixTime};
use obol_kms_client::{KeyInfo, KeyState, KmsError, Status};
use tokio::time::timeout;
use tracing::error;

use super::{Issuer, unavailable};
use crate::availability::is_ready;
use crate::issuance::IssueRefused;

/// Who asks how the keys are is told after so long, whatever the daemon does.
const DAEMON_WITHIN: Duration = Duration::from_secs(3);

impl Issuer {
    /// Whether a credential could be signed now: the disk takes writes, and the daemon serves a key in
    /// force whose token is ready and gives its signatures.
    ///
    /// # Errors
    /// [`IssueRefused::Unavailable`], [`IssueRefused::TokenAway`] or [`IssueRefused::KeyNotValid`]; the
    /// reason is logged.
    pub async fn check(&self, now: UnixTime) -> Result<(), IssueRefused> {
        let written = self.register.check().await;
        written.map_err(|cause| unavailable("writing to the register", &cause))?;
        let asked = timeout(DAEMON_WITHIN, self.ask_daemon()).await;
        let asked = asked.unwrap_or(Err(KmsError::Deadline));
        let (keys, status) = asked.map_err(|cause| unavailable("asking the daemon", &cause))?;
        let live = self.live.load();
        let signing = live.shards.signing().iter();
        let in_force = signing
            .clone()
            .filter(|shard| live.shards.signs(shard, now));
        let active: Vec<&KeyInfo> = in_force
            .filter_map(|shard| {
                let spki = shard.certificate.spki();
                let mut served = keys.iter();
                served.find(|key| key.spki == spki && key.state == KeyState::Active)
            })
            .collect();
        let Some(first) = active.first() else {
            let kids = signing.map(|shard| shard.certificate.kid().to_string());
            return Err(IssueRefused::KeyNotValid(
                kids.collect::<Vec<_>>().join(", "),
            ));
        };
        // The registry says what a key may do, and only a token that is there does it.
        let signs = |key: &&KeyInfo| is_ready(key, &status) && self.can_sign(key.spki.kid());
        if !active.iter().any(signs) {
            error!("no key in force has a token that gives signatures");
            return Err(IssueRefused::TokenAway(first.spki.kid()));
        }
        self.check_restored(now)
    }

    async fn ask_daemon(&self) -> Result<(Vec<KeyInfo>, Status), KmsError> {
        Ok((self.kms.keys().await?, self.kms.status().await?))
    }

    /// The keys that the daemon serves; none where it gives no answer.
    pub(crate) async fn served_keys(&self) -> Vec<KeyInfo> {
        let asked = timeout(DAEMON_WITHIN, self.kms.keys()).await;
        asked
            .unwrap_or(Err(KmsError::Deadline))
            .unwrap_or_else(|cause| {
                let cause: &dyn Error = &cause;
                error!(cause, "the daemon did not name its keys");
                Vec::new()
            })
    }

    /// Whether the key's token gives signatures, as far as is known.
    pub(crate) fn can_sign(&self, kid: Kid) -> bool {
        self.availability.has(kid)
    }

    /// Shards in force whose tokens give no signatures.
    pub(crate) fn away(&self, now: UnixTime) -> usize {
        let live = self.live.load();
        let signing = live.shards.signing().iter();
        let in_force = signing.filter(|shard| live.shards.signs(shard, now));
        let away = in_force.filter(|shard| !self.can_sign(shard.certificate.kid()));
        away.count()
    }
}
