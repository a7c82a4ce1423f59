//! Commands to the issuer for what terminals shall hear: the fare pack, a blocked key.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use miette::Diagnostic;
use obol_console::{Outcome, unix_now};
use obol_credential::UnixTime;
use obol_platform::{Config, block_key, parse_kid, publishing};
use thiserror::Error;

#[derive(Subcommand)]
pub(crate) enum FarePack {
    /// Have the issuer publish the pack of the configured tariff to terminals; a service does so
    /// when it starts and each hour.
    Push(Push),
}

#[derive(Args)]
pub(crate) struct Push {
    /// The configuration of the service that charges by it.
    #[arg(long)]
    config: PathBuf,
    /// The published pack that this one corrects, 16 hexadecimal digits: needed where both begin at
    /// the same second.
    #[arg(long, value_name = "PACK")]
    replaces: Option<String>,
}

#[derive(Args)]
pub(crate) struct SuspendKey {
    /// The configuration of the service.
    #[arg(long)]
    config: PathBuf,
    /// The issuer key: 8 hexadecimal digits, as the issuer's GET /v1/keys names it.
    #[arg(long)]
    kid: String,
    /// Why, 1 to 200 bytes, no personal data.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Error, Diagnostic)]
#[error("{0:?} is no issuer key's kid")]
#[diagnostic(help("give 8 hexadecimal digits in lower case"))]
struct NoKid(String);

pub(crate) async fn fare_pack(command: &FarePack) -> miette::Result<Outcome> {
    let FarePack::Push(Push { config, replaces }) = command;
    let config = Config::load(config)?;
    let (pack, operator) = (config.fare_pack()?, config.operator.as_str());
    let client = publishing(&config)?;
    client
        .push_fare_pack(operator, pack.bytes(), replaces.as_deref())
        .await?;
    println!("pushed {}", pack.id());
    Ok(Outcome::Done)
}

pub(crate) async fn suspend_key(command: &SuspendKey) -> miette::Result<Outcome> {
    let config = Config::load(&command.config)?;
    let kid = parse_kid(&command.kid).ok_or_else(|| NoKid(command.kid.clone()))?;
    let marked = block_key(&config, kid, &command.reason, UnixTime(unix_now())).await?;
    println!("suspended {kid}");
    println!(
        "to renew  {} credentials of {} wallets",
        marked.credentials, marked.wallets
    );
    Ok(Outcome::Done)
}
