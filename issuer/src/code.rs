//! `obol-issuer enrolment-code`.

use std::path::Path;

use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Mode, Outcome, read_limited, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_issuer::{CODE_LIFE_S, Code, Config, Register, TerminalsConfig};
use obol_transport::Peer;
use serde::Serialize;
use thiserror::Error;

const VERSION: u8 = 2;
const PEM_MAX: usize = 64 * 1024;
const TRUST_ROOT_MAX: usize = 128 * 1024;

/// Why there is no code, or no file for a terminal.
#[derive(Debug, Error, Diagnostic)]
enum CodeError {
    /// No identity that enrols.
    #[error("{0:?} is no identity that enrols")]
    #[diagnostic(help("give obol://terminal/NAME or obol://platform/NAME"))]
    NoIdentity(String),
    /// A provisioning file is a terminal's.
    #[error("{0:?} is no terminal, and a provisioning file is for terminals alone")]
    #[diagnostic(help("leave --provisioning out: a platform enrols with the code by EST"))]
    NoTerminal(String),
    /// Nothing to write into the file.
    #[error("the configuration does not say what a terminal is told")]
    #[diagnostic(help("put the section [terminals] in force; issuer.toml explains it"))]
    NoTerminals,
    /// A file that goes into it is not text.
    #[error("{0} is not UTF-8")]
    #[diagnostic(help("give certificates as PEM and the trust root as JSON"))]
    NotText(String),
}

/// What a terminal needs to begin: who it is, whom to believe, where to enrol, with which code.
#[derive(Serialize)]
struct Provisioning<'a> {
    version: u8,
    terminal: &'a str,
    operator: &'a str,
    code: &'a str,
    code_expires_at: u32,
    enrolment_url: &'a str,
    issuer_url: &'a str,
    platform_url: &'a str,
    access_ca: String,
    root_ca: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_root: Option<String>,
}

pub(super) async fn make(
    config: &Path,
    identity: &str,
    provisioning: Option<&Path>,
) -> miette::Result<Outcome> {
    let config = Config::load(config)?;
    match Peer::role_of(identity) {
        Some("terminal" | "platform") => {}
        _ => return Err(CodeError::NoIdentity(identity.to_owned()).into()),
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).into_diagnostic()?;
    let code = Code::new(random);
    let expires_at = UnixTime(unix_now()).plus(CODE_LIFE_S);
    if let Some(path) = provisioning {
        let terminal = identity
            .strip_prefix("obol://terminal/")
            .ok_or_else(|| CodeError::NoTerminal(identity.to_owned()))?;
        let terminals = config.terminals.as_ref().ok_or(CodeError::NoTerminals)?;
        let text = toml::to_string(&Provisioning {
            terminal,
            code: &code.reveal(),
            code_expires_at: expires_at.0,
            access_ca: text_of(&config.tls.trust, PEM_MAX)?,
            ..told(terminals)?
        });
        let text = text.into_diagnostic()?;
        write_new_atomically(path, text.as_bytes(), Mode::Private)?;
    }
    let register = Register::open(&config.database)?;
    let made = register.make_code(identity.to_owned(), code.hash(), expires_at);
    made.await?;
    println!("{}", code.reveal());
    Ok(Outcome::Done)
}

/// What every terminal is told alike.
fn told(terminals: &TerminalsConfig) -> miette::Result<Provisioning<'_>> {
    let repository = terminals.repository.as_ref();
    Ok(Provisioning {
        version: VERSION,
        terminal: "",
        operator: terminals.operator.as_str(),
        code: "",
        code_expires_at: 0,
        enrolment_url: &terminals.enrolment_url,
        issuer_url: &terminals.issuer_url,
        platform_url: &terminals.platform_url,
        access_ca: String::new(),
        root_ca: text_of(&terminals.root, PEM_MAX)?,
        repository_url: repository.map(|(url, _)| url.as_str()),
        trust_root: repository
            .map(|(_, root)| text_of(root, TRUST_ROOT_MAX))
            .transpose()?,
    })
}

fn text_of(path: &Path, limit: usize) -> miette::Result<String> {
    let text = String::from_utf8(read_limited(path, limit)?);
    Ok(text.map_err(|_| CodeError::NotText(path.display().to_string()))?)
}
