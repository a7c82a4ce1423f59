//! Commands to the issuers about passengers.

use std::path::PathBuf;

use clap::Args;
use miette::{Diagnostic, IntoDiagnostic};
use obol_account::AccountNumber;
use obol_console::Outcome;
use obol_issuer_client::{Command, IssuerClient, Target, Verb};
use obol_platform::{App, Config};
use obol_transport::{Identity, TrustAnchor};
use thiserror::Error;

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

#[derive(Debug, Error, Diagnostic)]
#[error("nobody has account {0}")]
#[diagnostic(help("give the number that the phone shows"))]
struct Nobody(u64);

pub(crate) async fn revoke(asked: &Revoke) -> miette::Result<Outcome> {
    let config = Config::load(&asked.config)?;
    let number = AccountNumber::new(asked.account).into_diagnostic()?;
    let passenger = App::books_to_read(&config)?
        .passenger(number)
        .into_diagnostic()?;
    let passenger = passenger.ok_or(Nobody(asked.account))?;
    let command = Command {
        target: Target::Subject(passenger.subject.0),
        verb: Verb::Revoke,
        reason: asked.reason.clone(),
        number: None,
    };
    issuers(&config)?.command(&command).await?;
    println!("revoked account {number}");
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
