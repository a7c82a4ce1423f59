use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Mode, Outcome, write_new_atomically};
use obol_pos_sdk::{Epoch, Journal, JournalError};
use obol_transport::new_identity;
use serde::Serialize;
use thiserror::Error;

use crate::{
    folder::Folder,
    say::{self, Format},
};

#[derive(Debug, Error, Diagnostic)]
#[error("the operating system gives no random numbers")]
#[diagnostic(help("wait until its generator is seeded, then try again"))]
struct NoRandomness(#[source] getrandom::Error);

#[derive(Serialize)]
struct Made {
    result: &'static str,
    request: String,
    key: String,
    epoch: String,
}

/// Makes what is the terminal's own: its journal, its key, and the request for its certificate.
/// Nothing that exists is overwritten; a journal that is there already stays in use.
pub(crate) fn make(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let made = new_identity(&format!("obol://terminal/{}", provisioning.terminal), &[])?;
    write_new_atomically(&provisioning.key, made.key_pem.as_bytes(), Mode::Private)?;
    let request = folder.request_path();
    write_new_atomically(&request, made.request_pem.as_bytes(), Mode::Public)?;

    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).map_err(NoRandomness)?;
    let path = folder.journal_path();
    let journal = match Journal::create(&path, &provisioning.terminal, Epoch(epoch)) {
        Err(JournalError::Exists { .. }) => Journal::open(&path, &provisioning.terminal),
        made => made,
    }?;
    let value = Made {
        result: "made",
        request: utf8(&request)?,
        key: utf8(&provisioning.key)?,
        epoch: journal.epoch().to_string(),
    };
    let text = format!("MADE request={} epoch={}", value.request, value.epoch);
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

fn utf8(path: &std::path::Path) -> miette::Result<String> {
    let text = path.to_str().ok_or(std::fmt::Error).into_diagnostic()?;
    Ok(text.to_owned())
}
