use miette::Diagnostic;
use obol_console::{Outcome, write_new_pair};
use obol_pos_sdk::{Epoch, Journal, Provisioning};
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
pub(crate) struct NoRandomness(#[source] pub(crate) getrandom::Error);

#[derive(Serialize)]
struct Made {
    result: &'static str,
    request: String,
    key: String,
    epoch: String,
}

/// Makes what is the terminal's own: its journal, the request for its certificate, and its key.
/// Key and request come last and together: until then the command can be repeated. A journal that
/// is there already stays in use.
pub(crate) fn make(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let journal = make_files(folder, &provisioning)?;
    let value = Made {
        result: "made",
        request: folder.request_path().display().to_string(),
        key: provisioning.key.display().to_string(),
        epoch: journal.epoch().to_string(),
    };
    let text = format!("MADE request={} epoch={}", value.request, value.epoch);
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

/// Journal, key and request, without a word.
pub(crate) fn make_files(folder: &Folder, provisioning: &Provisioning) -> miette::Result<Journal> {
    let journal = journal(folder, provisioning)?;
    let made = new_identity(&format!("obol://terminal/{}", provisioning.terminal), &[])?;
    write_new_pair(
        (&provisioning.key, made.key_pem.as_bytes()),
        (&folder.request_path(), made.request_pem.as_bytes()),
    )?;
    Ok(journal)
}

fn journal(folder: &Folder, provisioning: &Provisioning) -> miette::Result<Journal> {
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).map_err(NoRandomness)?;
    Ok(folder.make_journal(provisioning, Epoch(epoch))?)
}
