//! What somebody has to look at: a line each, for people or as JSON.

use std::path::Path;

use clap::Args;
use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Outcome, unix_now, utc_text};
use obol_credential::UnixTime;
use obol_platform::{App, Config, Fleet};
use obol_store::{FraudCase, Kept, NotCharged, Receipt, Receipts};
use obol_tap::TerminalName;
use serde_json::{Value, json};
use thiserror::Error;

use crate::books::Options;

#[derive(Args)]
pub(crate) struct ReceiptOptions {
    #[command(flatten)]
    options: Options,
    /// Only those whose money is in no wallet: unmatched or in suspense.
    #[arg(long)]
    unmatched: bool,
}

pub(crate) fn rejected(options: &Options) -> miette::Result<Outcome> {
    let books = App::books_to_read(&Config::load(&options.config)?)?;
    let records = books.not_charged().into_diagnostic()?;
    print(options, &records, record_json, record_line);
    Ok(Outcome::Done)
}

pub(crate) fn receipts(asked: &ReceiptOptions) -> miette::Result<Outcome> {
    let books = App::books_to_read(&Config::load(&asked.options.config)?)?;
    let which = if asked.unmatched {
        Receipts::Uncredited
    } else {
        Receipts::All
    };
    let receipts = books.receipts(which).into_diagnostic()?;
    print(&asked.options, &receipts, receipt_json, receipt_line);
    Ok(Outcome::Done)
}

pub(crate) fn fraud_cases(options: &Options) -> miette::Result<Outcome> {
    let books = App::books_to_read(&Config::load(&options.config)?)?;
    let cases = books.fraud_cases().into_diagnostic()?;
    print(options, &cases, case_json, case_line);
    Ok(Outcome::Done)
}

#[derive(Debug, Error, Diagnostic)]
#[error("of {} of {registered} terminals nothing is known: {}", names.len(), first(names))]
#[diagnostic(
    code(refused::fleet),
    help("a terminal tells when it uploads; the file speaks of the others alone")
)]
struct NeverTold {
    names: Vec<TerminalName>,
    registered: usize,
}

fn first(names: &[TerminalName]) -> String {
    const SAID: usize = 10;
    let said: Vec<_> = names.iter().take(SAID).map(TerminalName::as_str).collect();
    let more = if names.len() > SAID { ", …" } else { "" };
    said.join(", ") + more
}

/// Whoever plans without a terminal has seen its name.
pub(crate) fn fleet(config: &Path) -> miette::Result<Outcome> {
    let books = App::books_to_read(&Config::load(config)?)?;
    let told = books.fleet().into_diagnostic()?;
    let fleet = Fleet::of(told, UnixTime(unix_now()));
    if fleet.known > 0 {
        print!("{}", fleet.text);
    }
    if fleet.unknown.is_empty() && fleet.known > 0 {
        return Ok(Outcome::Done);
    }
    Err(NeverTold {
        registered: fleet.known + fleet.unknown.len(),
        names: fleet.unknown,
    }
    .into())
}

fn print<T>(options: &Options, items: &[T], json: fn(&T) -> Value, line: fn(&T) -> String) {
    for item in items {
        if options.json {
            println!("{}", json(item));
        } else {
            println!("{}", line(item));
        }
    }
}

fn record_json(record: &NotCharged) -> Value {
    let key = &record.key;
    let (kept, reason) = match &record.kept {
        Kept::Rejected(reason) => ("rejected", Some(reason)),
        Kept::Quarantined => ("quarantined", None),
    };
    json!({ "terminal": key.terminal.as_str(), "epoch": key.epoch.to_string(), "seq": key.seq,
            "received_at": record.received_at, "status": kept, "reason": reason })
}

fn record_line(record: &NotCharged) -> String {
    let why = match &record.kept {
        Kept::Rejected(reason) => reason,
        Kept::Quarantined => "QUARANTINED",
    };
    format!("{} {} {why}", utc_text(record.received_at), record.key)
}

fn receipt_json(receipt: &Receipt) -> Value {
    json!({ "channel": receipt.channel, "transaction": receipt.transaction,
            "order": receipt.order, "amount_minor": receipt.amount_minor,
            "currency": receipt.currency, "paid_at": receipt.paid_at,
            "received_at": receipt.received_at, "settlement": receipt.settlement,
            "reason": receipt.reason })
}

fn receipt_line(receipt: &Receipt) -> String {
    let Receipt {
        channel,
        transaction,
        order,
        amount_minor,
        currency,
        settlement,
        ..
    } = receipt;
    let at = utc_text(receipt.received_at);
    let reason = receipt.reason.as_ref();
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    format!(
        "{at} {channel}/{transaction} order {order} {amount_minor} {currency} {settlement}{reason}"
    )
}

fn case_json(case: &FraudCase) -> Value {
    let (kind, cti) = (format!("{:?}", case.kind), hex(&case.cti));
    json!({ "kind": kind, "cti": cti, "contested": case.contested,
            "account": case.account.map(|number| number.get()),
            "opened_at": case.opened_at, "closed_at": case.closed_at })
}

fn case_line(case: &FraudCase) -> String {
    let (at, kind, cti) = (utc_text(case.opened_at), case.kind, hex(&case.cti));
    let account = case.account.map(|number| number.to_string());
    let account = account.unwrap_or_else(|| "unknown".to_owned());
    let closed = case.closed_at.map_or("", |_| " closed");
    format!("{at} {kind:?} credential {cti} account {account}{closed}")
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
