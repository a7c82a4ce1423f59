mod raw;
mod templates;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, read_limited};
use obol_verifier_sdk::Operator;
use thiserror::Error;

use crate::clients::Clients;
use crate::issuance::Policy;
use templates::Templates;

const CONFIG_MAX: usize = 1024 * 1024;

/// A checked configuration; `issuer.toml` explains each key.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The register of issued credentials.
    pub database: PathBuf,
    /// The key management daemon's socket.
    pub kms_socket: PathBuf,
    /// Life of a trust bundle, seconds.
    pub bundle_life_s: u32,
    /// What credentials look like.
    pub policy: Policy,
    /// mTLS files.
    pub tls: TlsFiles,
    /// Certificates of the keys that sign, one a shard.
    pub signing_certificates: Vec<PathBuf>,
    /// Certificates of further keys for the trust bundle.
    pub published_certificates: Vec<PathBuf>,
    /// Who may ask.
    pub clients: Clients,
    /// The trust repository, where this issuer stands for publishing it.
    pub publisher: Option<crate::publisher::Settings>,
    /// What an enrolled client may have of one shard in one day.
    pub daily_quota: u32,
    /// Where new members enrol, if here.
    pub enrolment: Option<EnrolmentConfig>,
    /// What a new terminal is told, where terminals are made here.
    pub terminals: Option<TerminalsConfig>,
}

/// What every terminal is told besides its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalsConfig {
    /// Whose fares they take.
    pub operator: Operator,
    /// The enrolment listener, as they reach it.
    pub enrolment_url: String,
    /// The issuer.
    pub issuer_url: String,
    /// The platform's listener for terminals.
    pub platform_url: String,
    /// The root CA's certificate.
    pub root: PathBuf,
    /// The trust repository, and the TUF root to start from there.
    pub repository: Option<(String, PathBuf)>,
}

/// Enrolment by EST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The socket of the access CA's key management daemon.
    pub kms_socket: PathBuf,
    /// Life of a certificate, days.
    pub certificate_days: u32,
}

/// The PEM files of an mTLS server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// CA of the clients.
    pub trust: PathBuf,
    /// Its revocation list, where there is one.
    pub crl: Option<PathBuf>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// Not TOML, or keys are missing, unknown or of another type.
    #[error("the configuration does not parse, line {line}: {message}")]
    #[diagnostic(help("compare with issuer.toml of the release, which explains each key"))]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A value is out of range.
    #[error("{key} is {found}, not {expected}")]
    #[diagnostic(help("correct that value in the configuration"))]
    Value {
        /// The key.
        key: &'static str,
        /// The value seen.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// A class or a client stands twice.
    #[error("{what} stands twice")]
    #[diagnostic(help("remove one of the two from the configuration"))]
    Twice {
        /// Which one.
        what: String,
    },
}

impl Config {
    /// Reads and checks a file, and the templates it names.
    ///
    /// # Errors
    /// [`ConfigError`] with the value seen.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let text = read(path)?;
        let raw: raw::Raw = toml::from_str(&text).map_err(|error| syntax(&text, &error))?;
        let templates = read(&folder.join(&raw.templates))?;
        raw.check(folder, Templates::parse(&templates)?)
    }

    /// Checks two texts; relative paths begin at `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] with the value seen.
    pub fn parse(text: &str, templates: &str, folder: &Path) -> Result<Self, ConfigError> {
        let raw: raw::Raw = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        raw.check(folder, Templates::parse(templates)?)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let bytes = read_limited(path, CONFIG_MAX)?;
    String::from_utf8(bytes).map_err(|error| ConfigError::Syntax {
        line: 1,
        message: format!("not UTF-8 after byte {}", error.utf8_error().valid_up_to()),
    })
}

fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text[..start].matches('\n').count();
    ConfigError::Syntax {
        line,
        message: error.message().to_owned(),
    }
}
