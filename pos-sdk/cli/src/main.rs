#![doc = include_str!("../README.md")]

mod access;
mod clock;
mod enrol;
mod explain;
mod folder;
mod identity;
mod journal;
#[cfg(test)]
mod optics;
mod picture;
mod say;
mod scan;
mod selftest;
mod serve;
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
    /// Get the terminal's certificate for an enrolment code, or the next one
    #[command(group = clap::ArgGroup::new("how").required(true))]
    Enroll {
        /// Begin with the file that the issuer's operator made for this terminal; an empty folder
        /// is made one
        #[arg(long, value_name = "FILE.toml", group = "how")]
        provisioning: Option<PathBuf>,
        /// Renew the certificate in use at this enrolment listener, with a fresh key
        #[arg(long, value_name = "URL", group = "how")]
        renew: Option<String>,
    },
    /// Fetch what the terminal believes and charges by: from the trust repository where one is
    /// configured, else the trust bundle from the issuer and the fare pack from the platform
    Sync {
        /// Go on until interrupted: again after each pause, sooner after a failure
        #[arg(long)]
        keep: bool,
        /// Seconds between updates, 1 to 3600
        #[arg(long, requires = "keep", default_value_t = sync::EVERY_S,
            value_parser = clap::value_parser!(u32).range(1..=3600))]
        every: u32,
    },
    /// Take the boarding code in a picture of a QR code
    Scan {
        /// A PNG of at most 8 MiB and 16 million pixels
        #[arg(value_name = "FILE.png")]
        picture: PathBuf,
    },
    /// Take boarding codes from standard input, one a line, as a scanner types them
    Type,
    /// Show a page on loopback that takes codes from a scanner or a picture
    Serve {
        /// The port; 0 lets the system choose
        #[arg(long, default_value_t = 8400)]
        port: u16,
    },
    /// Check that a scanner hands over what a code says
    Selftest {
        /// Compare what the scanner types into standard input
        #[arg(long = "type", conflicts_with = "write")]
        typed: bool,
        /// Write the test code out as a PNG, to be scanned
        #[arg(long, value_name = "FILE.png")]
        write: Option<PathBuf>,
    },
    /// Say what a refusal code means and what to do
    Explain {
        /// Its name or number
        #[arg(value_name = "CODE")]
        code: String,
        /// The language
        #[arg(long, value_enum, default_value_t)]
        lang: explain::Lang,
    },
    /// Upload the rides that the platform does not hold yet
    Upload {
        /// Go on until interrupted: again each 10 s, and after a failure with growing pauses
        #[arg(long)]
        keep: bool,
    },
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
    if let Some(done) = without_folder(&arguments.command, format) {
        return run(done);
    }
    let Some(dir) = arguments.dir else {
        let missing = "the terminal's folder is missing: give --dir DIR before the command";
        Arguments::command()
            .error(ErrorKind::MissingRequiredArgument, missing)
            .exit();
    };
    run(execute(&arguments.command, &Folder::new(dir), format))
}

/// The commands that look at no terminal; `None` for all others.
fn without_folder(command: &Command, format: Format) -> Option<miette::Result<Outcome>> {
    match command {
        Command::Trust(trust) => Some(Ok(trust::run(trust, format))),
        Command::Selftest { typed: true, .. } => {
            Some(selftest::typed(std::io::stdin().lock(), format))
        }
        Command::Selftest {
            write: Some(path), ..
        } => Some(selftest::write(path)),
        Command::Selftest { .. } => Some(selftest::picture(format)),
        Command::Explain { code, lang } => Some(explain::explain(code, *lang, format)),
        _ => None,
    }
}

fn execute(command: &Command, folder: &Folder, format: Format) -> miette::Result<Outcome> {
    match command {
        Command::Identity => identity::make(folder, format),
        Command::Enroll {
            renew: Some(url), ..
        } => enrol::renew(folder, url, format),
        Command::Enroll { provisioning, .. } => {
            let file = provisioning
                .as_deref()
                .expect("clap demands one of the two");
            enrol::enrol(folder, file, format)
        }
        Command::Sync { keep: true, every } => sync::keep(folder, *every, format),
        Command::Sync { keep: false, .. } => sync::sync(folder, format),
        Command::Scan { picture } => scan::picture(folder, picture, format),
        Command::Type => scan::typed(folder, std::io::stdin().lock(), format),
        Command::Serve { port } => serve::serve(folder, *port, format),
        Command::Upload { keep: true } => upload::keep(folder, format),
        Command::Upload { keep: false } => upload::run(folder, format),
        Command::Journal(command) => journal::run(folder, command, format),
        Command::Trust(_) | Command::Selftest { .. } | Command::Explain { .. } => {
            unreachable!("done before a folder was asked for")
        }
    }
}
