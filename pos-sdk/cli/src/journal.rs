use std::path::{Path, PathBuf};

use clap::Subcommand;
use miette::IntoDiagnostic;
use obol_console::{Mode, Outcome, utc_text, write_new_atomically};
use obol_pos_sdk::{JournalFile, Provisioning, StoredRecord, export, repair};
use serde::Serialize;

use crate::{
    folder::Folder,
    say::{self, Format, minor},
    upload::signer,
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
    /// Make a damaged journal whole again, and say what could not be brought back
    Repair,
    /// Write every record that can be read into a file, one JSON object a line
    Export {
        /// A file that is not there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(crate) fn run(folder: &Folder, command: &Command, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    match command {
        Command::Check => check(folder, &provisioning, format),
        Command::Show => show(&folder.journal(&provisioning)?, format),
        Command::Repair => return make_whole(folder, &provisioning, format),
        Command::Export { file } => return write_out(folder, &provisioning, file, format),
    }?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Checked {
    result: &'static str,
    records: u64,
    watermark: u64,
    epoch: String,
    seals: u64,
}

fn check(folder: &Folder, provisioning: &Provisioning, format: Format) -> miette::Result<()> {
    let journal = folder.journal(provisioning)?;
    let value = Checked {
        result: "whole",
        records: journal.check()?,
        watermark: journal.watermark()?,
        epoch: journal.epoch().to_string(),
        seals: journal
            .check_seals(signer(folder, provisioning)?.public())?
            .good,
    };
    let text = format!(
        "WHOLE records={} watermark={} seals={} epoch={}",
        value.records, value.watermark, value.seals, value.epoch
    );
    say::result(format, &text, &value)
}

#[derive(Serialize)]
struct MadeWhole {
    result: &'static str,
    last_seq: u64,
    restored: Vec<u64>,
    lost: Vec<u64>,
    kept: String,
}

/// Refused when a ride is lost, so that no script takes it for good.
fn make_whole(
    folder: &Folder,
    provisioning: &Provisioning,
    format: Format,
) -> miette::Result<Outcome> {
    let done = repair(&folder.journal_path(), &provisioning.terminal)?;
    let value = MadeWhole {
        result: "repaired",
        last_seq: done.last_seq,
        restored: done.restored,
        lost: done.lost,
        kept: done.kept.display().to_string(),
    };
    let text = format!(
        "REPAIRED records={} restored={:?} lost={:?} damaged file kept as {}",
        value.last_seq, value.restored, value.lost, value.kept
    );
    say::result(format, &text, &value)?;
    Ok(match value.lost.is_empty() {
        true => Outcome::Done,
        false => Outcome::Refused,
    })
}

#[derive(Serialize)]
struct WrittenOut {
    result: &'static str,
    records: usize,
    lost: Vec<u64>,
}

#[derive(Serialize)]
struct Raw {
    seq: u64,
    head: String,
    record: String,
}

fn write_out(
    folder: &Folder,
    provisioning: &Provisioning,
    file: &Path,
    format: Format,
) -> miette::Result<Outcome> {
    let (records, lost) = export(&folder.journal_path(), &provisioning.terminal)?;
    let mut lines = String::new();
    for found in &records {
        let raw = Raw {
            seq: found.seq,
            head: found.head.to_string(),
            record: found
                .bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        };
        lines += &serde_json::to_string(&raw).into_diagnostic()?;
        lines.push('\n');
    }
    write_new_atomically(file, lines.as_bytes(), Mode::Private)?;
    let value = WrittenOut {
        result: "exported",
        records: records.len(),
        lost,
    };
    let text = format!(
        "EXPORTED records={} unreadable={:?}",
        value.records, value.lost
    );
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
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
    let mut next = journal.first_seq()?;
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
