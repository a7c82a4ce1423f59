#![doc = include_str!("../README.md")]

mod clock;
mod folder;
mod identity;
mod journal;
mod picture;
mod say;
mod scan;
mod sync;
mod synced;
mod trust;
mod upload;

use std::{path::PathBuf, process::ExitCode};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use obol_console::{Outcome, run};

use crate::{folder::Folder, say::Format};

/// The terminal as a command.
#[derive(Parser)]
#[command(name = "obol-pos", version, max_term_width = 100)]
struct Arguments {
    /// The terminal's folder, with its provisioning file terminal.toml
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One JSON object per line instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the terminal's key, its certificate request and its journal
    Identity,
    /// Fetch the trust bundle from the issuer and the fare pack from the platform
    Sync,
    /// Take the boarding code in a picture of a QR code
    Scan {
        /// A PNG of at most 8 MiB and 16 million pixels
        #[arg(value_name = "FILE.png")]
        picture: PathBuf,
    },
    /// Take boarding codes from standard input, one a line, as a scanner types them
    Type,
    /// Upload the rides that the platform does not hold yet
    Upload,
    /// Look at the journal
    #[command(subcommand)]
    Journal(journal::Command),
    /// Follow a TUF repository in a folder of its own
    Trust(trust::Trust),
}

fn main() -> ExitCode {
    obol_console::init_logging();
    let arguments = Arguments::parse();
    let format = if arguments.json {
        Format::Json
    } else {
        Format::Text
    };
    if let Command::Trust(trust) = &arguments.command {
        return run(Ok(trust::run(trust, format)));
    }
    let Some(dir) = arguments.dir else {
        let missing = "the terminal's folder is missing: give --dir DIR before the command";
        Arguments::command()
            .error(ErrorKind::MissingRequiredArgument, missing)
            .exit();
    };
    run(execute(&arguments.command, &Folder::new(dir), format))
}

fn execute(command: &Command, folder: &Folder, format: Format) -> miette::Result<Outcome> {
    match command {
        Command::Identity => identity::make(folder, format),
        Command::Sync => sync::sync(folder, format),
        Command::Scan { picture } => scan::picture(folder, picture, format),
        Command::Type => scan::typed(folder, std::io::stdin().lock(), format),
        Command::Upload => upload::run(folder, format),
        Command::Journal(command) => journal::run(folder, command, format),
        Command::Trust(trust) => Ok(trust::run(trust, format)),
    }
}
