//! The terminal's updater as commands of its own, so that conformance suites of others can drive it.

mod http;
mod repository;
mod schemes;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Mode, Outcome, read_limited, replace_atomically, two_lines, unix_now};
use obol_pos_sdk::tuf::{Client, Limits};
use obol_pos_sdk::{TrustFolder, TrustUpdater, UnixTime};
use obol_transport::{FileClient, Pace};
use thiserror::Error;

use crate::say::{self, Format};
use http::HttpSource;
use schemes::AnyScheme;

pub(crate) use http::HttpError;
pub(crate) use repository::update;

const ROOT_FILE_MAX: usize = 1024 * 1024;

/// What the three commands share.
#[derive(Args)]
pub(crate) struct Trust {
    /// Where the metadata that is trusted lies
    #[arg(long, value_name = "DIR", global = true)]
    metadata_dir: Option<PathBuf>,
    /// Base URL of the repository's metadata
    #[arg(long, value_name = "URL", global = true)]
    metadata_url: Option<String>,
    /// Base URL of the repository's targets
    #[arg(long, value_name = "URL", global = true)]
    target_base_url: Option<String>,
    /// Path of the file to download
    #[arg(long, value_name = "PATH", global = true)]
    target_name: Option<String>,
    /// Where downloaded files lie
    #[arg(long, value_name = "DIR", global = true)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Subcommand)]
enum TrustCommand {
    /// Trust a root file from now on; asks no network
    Init {
        /// The root's metadata
        #[arg(value_name = "ROOT.json")]
        root: PathBuf,
    },
    /// Follow root, timestamp, snapshot and targets
    Refresh,
    /// Refresh, then download one file
    Download,
}

#[derive(Debug, Error, Diagnostic)]
#[error("{0} is missing")]
#[diagnostic(help("give it before the command; --help explains each"))]
struct Missing(&'static str);

#[derive(Debug, Error, Diagnostic)]
#[error("no role lists {0:?}")]
#[diagnostic(help("check the path; it is the one in the metadata, not a URL"))]
struct NotListed(String);

type Updater = TrustUpdater<TrustFolder, AnyScheme>;

/// Exit code 1 for whatever goes wrong, as the protocol of tuf-conformance has it.
pub(crate) fn run(trust: &Trust, format: Format) -> Outcome {
    match execute(trust, format) {
        Ok(()) => Outcome::Done,
        Err(report) => {
            eprintln!("{}", two_lines(&report));
            Outcome::Refused
        }
    }
}

fn execute(trust: &Trust, format: Format) -> miette::Result<()> {
    let folder = trust
        .metadata_dir
        .as_deref()
        .ok_or(Missing("--metadata-dir"))?;
    let storage = TrustFolder::new(folder);
    let mut updater = Updater::new(storage, Limits::REFERENCE, AnyScheme);
    if let TrustCommand::Init { root } = &trust.command {
        let bytes = read_limited(root, ROOT_FILE_MAX)?;
        return Ok(updater.initialise::<HttpError>(&bytes)?);
    }
    let metadata = trust
        .metadata_url
        .as_deref()
        .ok_or(Missing("--metadata-url"))?;
    let targets = trust.target_base_url.as_deref().unwrap_or(metadata);
    let files = FileClient::plain(Pace::default());
    let mut source = HttpSource::new(files, metadata, targets)?;
    let mut client = updater.refresh(&mut source, UnixTime(unix_now()))?;
    if matches!(trust.command, TrustCommand::Download) {
        return download(trust, &mut updater, &mut client, &mut source, format);
    }
    let version = |found: Option<u32>| found.map_or("none".to_owned(), |it| it.to_string());
    let timestamp = version(client.timestamp().map(|stamp| stamp.head.version));
    let text = format!(
        "REFRESHED root={} timestamp={timestamp}",
        client.root().head.version
    );
    say::result(format, &text, &serde_json::json!({ "result": "refreshed" }))
}

fn download(
    trust: &Trust,
    updater: &mut Updater,
    client: &mut Client<AnyScheme>,
    source: &mut HttpSource,
    format: Format,
) -> miette::Result<()> {
    let path = trust
        .target_name
        .as_deref()
        .ok_or(Missing("--target-name"))?;
    let folder = trust.target_dir.as_deref().ok_or(Missing("--target-dir"))?;
    trust
        .target_base_url
        .as_deref()
        .ok_or(Missing("--target-base-url"))?;
    let found = updater.find(client, source, path)?;
    let found = found.ok_or_else(|| NotListed(path.to_owned()))?;
    let target = folder.join(obol_pos_sdk::tuf::quoted(path));
    let limit = usize::try_from(found.file.length).into_diagnostic()?;
    let stored = read_limited(&target, limit).ok();
    if !stored.is_some_and(|bytes| found.file.fits(&bytes)) {
        let bytes = updater.download(source, &found)?;
        replace_atomically(&target, &bytes, Mode::Public)?;
    }
    let text = format!("DOWNLOADED {}", target.display());
    let value = serde_json::json!({ "result": "downloaded", "file": target });
    say::result(format, &text, &value)
}
