//! Commands on passengers, for people at a console: kept in the books, and given to the issuers at
//! once. What an issuer does not confirm now, the service gives it later.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::{Diagnostic, IntoDiagnostic};
use obol_account::AccountNumber;
use obol_console::{Outcome, unix_now, utc_text};
use obol_credential::UnixTime;
use obol_platform::{App, Config, for_issuers, issuers};
use obol_store::{CommandRefused, Standing, SubjectCommand};
use serde_json::json;
use thiserror::Error;

use crate::books::Options;

const REASON_MAX: usize = 200;

#[derive(Args)]
pub(crate) struct Commanded {
    #[arg(long)]
    config: PathBuf,
    /// The account's number.
    #[arg(long)]
    account: u64,
    /// Why, for those who look later: 1 to 200 bytes, no personal data.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Error, Diagnostic)]
enum NotKept {
    #[error("the reason has {0} bytes or a control character, not 1 to {REASON_MAX} plain ones")]
    #[diagnostic(help("give a short reason in one line"))]
    Reason(usize),
    #[error(transparent)]
    #[diagnostic(
        code(refused::command),
        help("check the account's number; nothing was changed")
    )]
    Refused(CommandRefused),
    #[error("no issuer {0:?} is configured")]
    #[diagnostic(help("name an issuer of the configuration"))]
    Issuer(String),
}

pub(crate) async fn command(asked: &Commanded, standing: Standing) -> miette::Result<Outcome> {
    let config = Config::load(&asked.config)?;
    let kept = keep(&config, asked.account, standing, &asked.reason)?;
    println!("{} {} {}", kept.account, kept.standing.name(), kept.number);
    if let Err(missing) = issuers(&config)?.command(&for_issuers(&kept)).await {
        println!("{missing} yet");
    }
    Ok(Outcome::Done)
}

fn keep(
    config: &Config,
    account: u64,
    standing: Standing,
    reason: &str,
) -> miette::Result<SubjectCommand> {
    let account = AccountNumber::new(account).into_diagnostic()?;
    if reason.is_empty() || reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(NotKept::Reason(reason.len()).into());
    }
    let now = UnixTime(unix_now());
    let kept = App::books(config)?.command_subject(account, standing, reason, now);
    Ok(kept.map_err(NotKept::Refused)?)
}

pub(crate) fn pending(options: &Options) -> miette::Result<Outcome> {
    let config = Config::load(&options.config)?;
    let books = App::books_to_read(&config)?;
    for issuer in &config.issuer.issuers {
        for command in books.unconfirmed_commands(&issuer.name).into_diagnostic()? {
            let (standing, account) = (command.standing.name(), command.account);
            if options.json {
                let line = json!({ "issuer": issuer.name, "account": account.get(),
                    "standing": standing, "number": command.number,
                    "given_at": command.given_at, "reason": command.reason });
                println!("{line}");
            } else {
                let at = utc_text(command.given_at);
                println!(
                    "{} {account} {standing} {at}: {}",
                    issuer.name, command.reason
                );
            }
        }
    }
    Ok(Outcome::Done)
}

pub(crate) fn repeat(config: &Path, issuer: &str) -> miette::Result<Outcome> {
    let config = Config::load(config)?;
    if !config
        .issuer
        .issuers
        .iter()
        .any(|known| known.name == issuer)
    {
        return Err(NotKept::Issuer(issuer.to_owned()).into());
    }
    let forgotten = App::books(&config)?
        .forget_confirmations(issuer)
        .into_diagnostic()?;
    println!("{forgotten} commands go to issuer {issuer} again");
    Ok(Outcome::Done)
}
