use clap::Subcommand;
use obol_console::{Outcome, utc_text};
use obol_pos_sdk::{JournalFile, StoredRecord};
use serde::Serialize;

use crate::{
    folder::Folder,
    say::{self, Format, minor},
};

/// Records read at a time.
const PAGE: usize = 500;

/// What to do with the journal.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read all of it and compare every byte with the hash chain
    Check,
    /// List the rides
    Show,
}

pub(crate) fn run(folder: &Folder, command: &Command, format: Format) -> miette::Result<Outcome> {
    let journal = folder.journal(&folder.provisioning()?)?;
    match command {
        Command::Check => check(&journal, format),
        Command::Show => show(&journal, format),
    }?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Checked {
    result: &'static str,
    records: u64,
    watermark: u64,
    epoch: String,
}

fn check(journal: &JournalFile, format: Format) -> miette::Result<()> {
    let value = Checked {
        result: "whole",
        records: journal.check()?,
        watermark: journal.watermark()?,
        epoch: journal.epoch().to_string(),
    };
    let text = format!(
        "WHOLE records={} watermark={} epoch={}",
        value.records, value.watermark, value.epoch
    );
    say::result(format, &text, &value)
}

#[derive(Serialize)]
struct Line {
    seq: u64,
    accepted_at: u32,
    granted_at: Option<u32>,
    fare_minor: u32,
    rule: u16,
    pack: String,
    head: String,
}

fn show(journal: &JournalFile, format: Format) -> miette::Result<()> {
    let mut next = 1;
    loop {
        let page = journal.records(next, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        next = last.record.seq + 1;
        for stored in &page {
            line(stored, format)?;
        }
    }
}

fn line(stored: &StoredRecord, format: Format) -> miette::Result<()> {
    let record = &stored.record;
    let value = Line {
        seq: record.seq,
        accepted_at: record.accepted_at.0,
        granted_at: stored.granted_at.map(|at| at.0),
        fare_minor: record.fare.amount_minor,
        rule: record.fare.rule,
        pack: record.fare.pack_id.to_string(),
        head: stored.head.to_string(),
    };
    let gate = match stored.granted_at {
        Some(_) => "granted",
        None => "unopened",
    };
    let text = format!(
        "{:>6}  {}  {:>8}  {gate}  {}",
        value.seq,
        utc_text(value.accepted_at),
        minor(value.fare_minor),
        &value.head[..16],
    );
    say::result(format, &text, &value)
}
