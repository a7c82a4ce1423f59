//! `obol-issuer enrolment-code`.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Mode, Outcome, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_issuer::{CODE_LIFE_S, Code, Config, Register};
use obol_transport::Peer;
use serde::Serialize;
use thiserror::Error;

/// No identity that enrols.
#[derive(Debug, Error, Diagnostic)]
#[error("{0:?} is no identity that enrols")]
#[diagnostic(help("give obol://terminal/NAME or obol://platform/NAME"))]
struct NoIdentity(String);

/// What a terminal needs to begin: where, as whom, with which code, and which CA to believe there.
#[derive(Serialize)]
struct Provisioning<'a> {
    version: u8,
    identity: &'a str,
    enrolment_url: &'a str,
    code: &'a str,
    code_expires_at: u32,
    access_ca: &'a str,
}

pub(super) async fn make(
    config: &Path,
    identity: &str,
    provisioning: Option<(PathBuf, String)>,
) -> miette::Result<Outcome> {
    let config = Config::load(config)?;
    match Peer::role_of(identity) {
        Some("terminal" | "platform") => {}
        _ => return Err(NoIdentity(identity.to_owned()).into()),
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).into_diagnostic()?;
    let code = Code::new(random);
    let expires_at = UnixTime(unix_now()).plus(CODE_LIFE_S);
    if let Some((path, url)) = provisioning {
        let access_ca = std::fs::read_to_string(&config.tls.trust).into_diagnostic()?;
        let text = toml::to_string(&Provisioning {
            version: 1,
            identity,
            enrolment_url: &url,
            code: &code.reveal(),
            code_expires_at: expires_at.0,
            access_ca: &access_ca,
        });
        let text = text.into_diagnostic()?;
        write_new_atomically(&path, text.as_bytes(), Mode::Private)?;
    }
    let register = Register::open(&config.database)?;
    let made = register.make_code(identity.to_owned(), code.hash(), expires_at);
    made.await?;
    println!("{}", code.reveal());
    Ok(Outcome::Done)
}
