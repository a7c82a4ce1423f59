//! The capability report of a module and a token.

use clap::Args;
use obol_console::Outcome;
use obol_kms::probe::{self, Honoured, ModuleReport, ProbeError, TokenReport, Verdict};
use obol_kms::{Module, Token, TokenConfig};
use serde::Serialize;

use crate::arguments::ShowOf;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms probe --module /usr/lib/softhsm/libsofthsm2.so
  obol-kms probe --token issuer.token.toml
  obol-kms probe --token issuer.token.toml --json > issuer-token.json

With --token it makes keys that end with its session and leaves nothing behind; it compares the
token's objects before and after. The exit code is 1 when keys cannot be kept there as demanded.")]
pub(crate) struct Probe {
    #[command(flatten)]
    of: ShowOf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    module: ModuleReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usable: Option<bool>,
}

pub(crate) fn probe(arguments: &Probe) -> Result<Outcome, Failure> {
    let report = match (&arguments.of.token, &arguments.of.module) {
        (Some(token_file), _) => {
            let config = TokenConfig::of_argument(token_file)?;
            let module = Module::load(&config.module)?;
            let token = probe::token(&Token::open(&module, &config, 1)?)?;
            Report {
                module: probe::module(&module)?,
                usable: Some(token.usable()),
                token: Some(token),
            }
        }
        (None, path) => {
            let path = path.as_deref().ok_or(NothingToProbe)?;
            Report {
                module: probe::module(&Module::load(path)?)?,
                token: None,
                usable: None,
            }
        }
    };
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(match report.usable {
        Some(false) => Outcome::Refused,
        Some(true) | None => Outcome::Done,
    })
}

/// clap demands one of the two, so nobody sees this.
#[derive(Debug, thiserror::Error)]
#[error("neither --token nor --module is given")]
struct NothingToProbe;

impl From<NothingToProbe> for Failure {
    fn from(error: NothingToProbe) -> Failure {
        Failure::with_help(error, "give one of them")
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Failure {
        Failure::with_help(
            error,
            "look the return value up in the token vendor's manual; no key of the probe is left",
        )
    }
}

fn print(report: &Report) {
    let library = &report.module.library;
    println!(
        "module {}: {} ({}), version {}, PKCS#11 {}",
        library.path, library.description, library.manufacturer, library.version, library.cryptoki
    );
    for slot in &report.module.slots {
        let label = slot.label.as_deref().unwrap_or("not initialised");
        println!(
            "slot {}: {label}, serial {}, {} of {}, firmware {}, PIN {}",
            slot.slot,
            slot.serial,
            slot.model,
            slot.manufacturer,
            slot.firmware_version,
            word(slot.pin)
        );
    }
    if let Some(token) = &report.token {
        print_token(token);
    }
}

fn print_token(token: &TokenReport) {
    println!("token {} serial {}", token.label, token.serial);
    for mechanism in &token.mechanisms {
        let found = match &mechanism.found {
            Some(found) => format!("keys of {} to {}", found.min_key, found.max_key),
            None => "not there".to_owned(),
        };
        let (name, used_for) = (&mechanism.mechanism, mechanism.used_for);
        println!("mechanism {name}: {found}; for {used_for}");
    }
    for one in &token.attributes {
        let mark = match one.honoured {
            Honoured::Yes => "honoured".to_owned(),
            Honoured::No => format!("NOT HONOURED, the key has {}", one.found),
            Honoured::Refused => format!("REFUSED: {}", one.found),
        };
        println!("attribute {} {}: {mark}", one.attribute, one.asked);
    }
    for one in &token.behaviours {
        let mark = match one.verdict {
            Verdict::Good => "",
            Verdict::Tolerated => " (allowed for)",
            Verdict::Bad => " BAD",
        };
        println!("{}: {}{mark}", one.question, one.answer);
    }
    let (before, after) = token.objects;
    println!("objects in the token: {before} before, {after} after");
    match token.usable() {
        true => println!("usable: keys are kept as demanded"),
        false => println!("NOT USABLE: keys are not kept as demanded"),
    }
}

fn word(state: probe::PinState) -> &'static str {
    match state {
        probe::PinState::Good => "good",
        probe::PinState::NotSet => "not set",
        probe::PinState::CountLow => "was given wrong",
        probe::PinState::FinalTry => "has one try left",
        probe::PinState::Locked => "LOCKED",
        probe::PinState::ToBeChanged => "has to be changed",
    }
}
