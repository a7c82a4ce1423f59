//! Commands to the issuers about passengers.

use std::path::PathBuf;

use clap::Args;
use miette::IntoDiagnostic;
use obol_console::Outcome;
use obol_issuer_client::{Command, IssuerClient, Target, Verb};
use obol_platform::Config;
use obol_store::Standing;
use obol_transport::{Identity, TrustAnchor};

use crate::passengers;

#[derive(Args)]
pub(crate) struct Revoke {
    /// The configuration of the service.
    #[arg(long)]
    config: PathBuf,
    /// The passenger's account.
    #[arg(long)]
    account: u64,
    /// Why, 1 to 200 bytes, no personal data.
    #[arg(long)]
    reason: String,
}

/// Kept first, then given at once; what an issuer does not confirm now, the service gives it later.
pub(crate) async fn revoke(asked: &Revoke) -> miette::Result<Outcome> {
    let config = Config::load(&asked.config)?;
    let kept = passengers::keep(&config, asked.account, Standing::Revoked, &asked.reason)?;
    let command = Command {
        target: Target::Subject(kept.subject.0),
        verb: Verb::Revoke,
        reason: kept.reason,
        number: Some(kept.number),
    };
    match issuers(&config)?.command(&command).await {
        Ok(()) => println!("revoked account {}", kept.account),
        Err(missing) => println!("revoked account {}, {missing} yet", kept.account),
    }
    Ok(Outcome::Done)
}

fn issuers(config: &Config) -> miette::Result<IssuerClient> {
    let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
    let anchor = TrustAnchor::load(&config.tls.trust)?;
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).into_diagnostic()?;
    let issuers = &config.issuer.issuers;
    Ok(IssuerClient::new(issuers, &anchor, identity, seed)?)
}
