//! What the command says on standard output: lines for people, JSON for machines.

use std::io::{self, Write};

use miette::IntoDiagnostic;
use obol_pos_sdk::{Currency, Granted, Language, Refusal, wording};
use serde::Serialize;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Writes one result: the text line, or the value as one line of JSON. A reader that went away is
/// an error like any other.
pub(crate) fn result(format: Format, text: &str, value: &impl Serialize) -> miette::Result<()> {
    let line = match format {
        Format::Text => text.to_owned(),
        Format::Json => serde_json::to_string(value).into_diagnostic()?,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .into_diagnostic()
}

#[derive(Serialize)]
struct Ride<'a> {
    result: &'a str,
    seq: u64,
    fare_minor: u32,
    currency: Option<&'a str>,
    rule: u16,
    pack: String,
    accepted_at: u32,
}

/// `GRANTED seq=12 fare=2.00 CNY …`. A ride that was paid before may find no fare pack loaded, and
/// then no currency.
pub(crate) fn ride(
    format: Format,
    granted: &Granted,
    name: &str,
    currency: Option<Currency>,
) -> miette::Result<()> {
    let record = granted.record();
    let (fare, at) = (record.fare, record.accepted_at);
    let value = Ride {
        result: name,
        seq: record.seq,
        fare_minor: fare.amount_minor,
        currency: currency.as_ref().map(Currency::as_str),
        rule: fare.rule,
        pack: fare.pack_id.to_string(),
        accepted_at: at.0,
    };
    let mut text = format!("{} seq={}", name.to_uppercase(), record.seq);
    text += &format!(" fare={}", minor(fare.amount_minor));
    if let Some(currency) = value.currency {
        text += &format!(" {currency}");
    }
    text += &format!(" rule={} at={at}", fare.rule);
    result(format, &text, &value)
}

#[derive(Serialize)]
struct Refused<'a> {
    result: &'a str,
    code: &'a str,
    number: u8,
    rule: &'a str,
}

/// `REFUSED CODE_STALE (9): older than its window`, and on standard error what to do.
pub(crate) fn refused(format: Format, refusal: &Refusal) -> miette::Result<()> {
    let value = Refused {
        result: "refused",
        code: refusal.code.name(),
        number: refusal.code.number(),
        rule: refusal.rule,
    };
    result(format, &format!("REFUSED {refusal}"), &value)?;
    eprintln!("help: {}", wording(refusal.code, Language::En).todo);
    Ok(())
}

#[derive(Serialize)]
struct Ignored {
    result: &'static str,
}

pub(crate) fn ignored(format: Format) -> miette::Result<()> {
    let text = "IGNORED the credential was used less than 3 s ago";
    result(format, text, &Ignored { result: "ignored" })
}

/// Minor units with two decimals: the currencies of transit that we know have two.
pub(crate) fn minor(amount: u32) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}
