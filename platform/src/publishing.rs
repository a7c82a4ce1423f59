//! What terminals hear of the platform through the issuer's trust repository: the fare pack that
//! rides are charged by, and issuer keys that are blocked.

use obol_issuer_client::{IssuerClientError, PublishingClient};
use obol_transport::{Identity, TrustAnchor};

use crate::app::{App, StartError};
use crate::config::Config;

/// What became of a fare pack that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The issuer has it, durably.
    Taken,
    /// The issuer publishes no repository: terminals fetch the pack from the platform.
    NotPublished,
}

/// The issuer of a configuration, as far as it publishes.
///
/// # Errors
/// [`StartError`] when the identity on mTLS cannot be used.
pub fn publishing(config: &Config) -> Result<PublishingClient, StartError> {
    let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
    let anchor = TrustAnchor::load(&config.tls.trust)?;
    Ok(PublishingClient::new(
        &config.issuer.issuers,
        &anchor,
        identity,
    ))
}

impl App {
    /// Has the fare pack that rides are charged by published to terminals. The same pack again
    /// changes nothing.
    ///
    /// # Errors
    /// [`IssuerClientError`]; in particular when a newer pack is published already.
    pub async fn push_fares(&self) -> Result<Pushed, IssuerClientError> {
        let (operator, pack) = (self.config.operator.as_str(), self.packs.current());
        let pushed = self.publishing.push_fare_pack(operator, pack.bytes(), None);
        match pushed.await {
            Ok(()) => Ok(Pushed::Taken),
            Err(IssuerClientError::Refused(problem)) if problem.status == 404 => {
                Ok(Pushed::NotPublished)
            }
            Err(other) => Err(other),
        }
    }
}
