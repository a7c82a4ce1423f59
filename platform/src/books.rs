//! The books for people at a console: read from the database itself.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::{Diagnostic, IntoDiagnostic};
use obol_account::AccountNumber;
use obol_console::{Outcome, unix_now};
use obol_credential::UnixTime;
use obol_ledger::TrialBalance;
use obol_platform::{App, Config, Scope};
use obol_store::Terminal;
use obol_tap::TerminalName;
use obol_transport::Peer;
use serde_json::json;
use thiserror::Error;

#[derive(Args)]
pub(crate) struct Options {
    /// The configuration of the service whose books these are.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Error, Diagnostic)]
#[error("{} names {uri}, which is no terminal", certificate.display())]
#[diagnostic(help("give a certificate with the name obol://terminal/NAME"))]
struct NoTerminal {
    certificate: PathBuf,
    uri: String,
}

pub(crate) fn register_terminal(config: &Path, certificate: &Path) -> miette::Result<Outcome> {
    let config = Config::load(config)?;
    let peer = Peer::load(certificate)?;
    let name = TerminalName::new(&peer.name).filter(|_| peer.role == "terminal");
    let name = name.ok_or_else(|| NoTerminal {
        certificate: certificate.to_owned(),
        uri: peer.uri.clone(),
    })?;
    let operator = config.operator.as_str().to_owned();
    let terminal = Terminal {
        name,
        spki: peer.spki,
        operator,
    };
    App::books(&config)?
        .register_terminal(&terminal)
        .into_diagnostic()?;
    println!("registered {}", peer.uri);
    Ok(Outcome::Done)
}

pub(crate) fn reexamine(config: &Path) -> miette::Result<Outcome> {
    let app = App::open(Config::load(config)?, unix_now)?;
    let found = app.reexamine(Scope::Everything).into_diagnostic()?;
    println!(
        "{} charged, {} still refused",
        found.accepted, found.refused
    );
    Ok(Outcome::Done)
}

pub(crate) fn close_fraud_cases(config: &Path, account: u64) -> miette::Result<Outcome> {
    let config = Config::load(config)?;
    let number = AccountNumber::new(account).into_diagnostic()?;
    let closed = App::books(&config)?
        .close_fraud_cases(number, UnixTime(unix_now()))
        .into_diagnostic()?;
    println!("{closed} closed");
    Ok(Outcome::Done)
}

pub(crate) fn trial_balance(options: &Options) -> miette::Result<Outcome> {
    let config = Config::load(&options.config)?;
    let balance = App::books_to_read(&config)?
        .trial_balance()
        .into_diagnostic()?;
    if options.json {
        println!("{}", trial_json(&balance));
    } else {
        print_trial(&balance);
    }
    Ok(if balance.total_dr() == balance.total_cr() {
        Outcome::Done
    } else {
        Outcome::Refused
    })
}

pub(crate) fn check_books(options: &Options) -> miette::Result<Outcome> {
    let config = Config::load(&options.config)?;
    let report = App::books_to_read(&config)?
        .check_books()
        .into_diagnostic()?;
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| format!("{finding:?}"))
        .collect();
    if options.json {
        println!(
            "{}",
            json!({ "transfers": report.transfers, "findings": findings })
        );
    } else {
        println!(
            "{} transfers recounted, {} findings",
            report.transfers,
            findings.len()
        );
        findings.iter().for_each(|finding| println!("{finding}"));
    }
    Ok(if findings.is_empty() {
        Outcome::Done
    } else {
        Outcome::Refused
    })
}

fn print_trial(balance: &TrialBalance) {
    println!(
        "{:<28} {:>14} {:>14} {:>14}",
        "account", "debit", "credit", "balance"
    );
    for line in balance.lines() {
        let code = format!("{} {}", line.code.number(), line.code.name());
        let [dr, cr, rest] = [line.posted_dr, line.posted_cr, line.balance].map(|a| a.to_string());
        println!("{code:<28} {dr:>14} {cr:>14} {rest:>14}");
    }
    let [dr, cr] = [balance.total_dr(), balance.total_cr()].map(|amount| amount.to_string());
    // A sum that does not fit is no balance: the dash stands for it, and the exit code says no.
    let difference = balance
        .difference()
        .map_or("-".to_owned(), |amount| amount.to_string());
    println!("{:<28} {dr:>14} {cr:>14} {difference:>14}", "total");
}

fn trial_json(balance: &TrialBalance) -> serde_json::Value {
    let lines: Vec<_> = balance
        .lines()
        .iter()
        .map(|line| {
            json!({
                "code": line.code.number(), "name": line.code.name(),
                "debit_minor": line.posted_dr.minor(), "credit_minor": line.posted_cr.minor(),
                "balance_minor": line.balance.minor(),
            })
        })
        .collect();
    let (debit, credit) = (balance.total_dr().minor(), balance.total_cr().minor());
    json!({ "lines": lines, "debit_minor": debit, "credit_minor": credit })
}
