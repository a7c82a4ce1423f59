use obol_console::Outcome;
use obol_kms_audit::{Report, VerifyError, Witnesses, verify as verify_log};
use serde::Serialize;

use super::arguments::Verify;
use super::read_note;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Serialize)]
struct Shown {
    good: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished_write: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<String>,
}

pub(super) fn verify(arguments: &Verify) -> Result<Outcome, Failure> {
    let log = &arguments.log;
    let kept = arguments.witnessed.as_deref().map(read_note).transpose()?;
    let witnesses = Witnesses {
        keys: &arguments.witnesses,
        kept: kept.as_ref(),
    };
    match verify_log(&log.disk()?, log.origin(), &log.keys, &witnesses) {
        Ok(report) => show(&report, log.json),
        Err(VerifyError::Found(finding)) => {
            // A machine reads what was found; a person reads it in the error.
            if log.json {
                print_json(&Shown::bad(finding.to_string()))?;
            }
            Err(VerifyError::Found(finding).into())
        }
        Err(other) => Err(other.into()),
    }
}

pub(super) fn show(report: &Report, as_json: bool) -> Result<Outcome, Failure> {
    if as_json {
        return print_json(&Shown::good(report));
    }
    println!("{}", sentence(report));
    Ok(Outcome::Done)
}

impl Shown {
    fn good(report: &Report) -> Shown {
        let torn = report.torn.as_ref();
        Shown {
            good: true,
            entries: Some(report.entries),
            checkpoint: report.checkpoint,
            witnessed: report.witnessed,
            files: Some(report.files),
            unfinished_write: torn.map(|torn| format!("{}, byte {}", torn.path, torn.at)),
            finding: None,
        }
    }

    fn bad(finding: String) -> Shown {
        Shown {
            good: false,
            entries: None,
            checkpoint: None,
            witnessed: None,
            files: None,
            unfinished_write: None,
            finding: Some(finding),
        }
    }
}

fn sentence(report: &Report) -> String {
    let covered = |size: Option<u64>, by: &str| match size {
        Some(size) => format!(", {size} of them {by}"),
        None => format!(", none of them {by}"),
    };
    let torn = report.torn.as_ref().map_or(String::new(), |torn| {
        format!(
            "; a write to {} was interrupted at byte {}, and nobody was told that it had ended",
            torn.path, torn.at
        )
    });
    format!(
        "good: {} entries{}{}; {} files compared{torn}",
        report.entries,
        covered(report.checkpoint, "under the log's checkpoint"),
        covered(report.witnessed, "under a witnessed one"),
        report.files,
    )
}
