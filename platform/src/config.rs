mod raw;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use obol_console::{FileError, read_limited};
use obol_fare::FarePack;
use obol_issuer_client::IssuerAddress;
use obol_ledger::Amount;
use obol_log::LogKey;
use obol_verifier_sdk::Operator;
use thiserror::Error;

const CONFIG_MAX: usize = 256 * 1024;

/// A checked configuration; `platform.toml` explains each key.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where phones and channels connect.
    pub passenger_listen: SocketAddr,
    /// How they call it.
    pub public_url: String,
    /// Where terminals connect.
    pub terminal_listen: SocketAddr,
    /// The SQLite file.
    pub database: PathBuf,
    /// The tariff's file.
    pub tariff: PathBuf,
    /// Folder of every fare pack ever published.
    pub fare_packs: PathBuf,
    /// Local midnight, seconds ahead of UTC.
    pub business_day_offset_s: i32,
    /// The operator.
    pub operator: Operator,
    /// Class of new passengers.
    pub class: u8,
    /// Balance below which no credential is issued.
    pub credential_floor: Amount,
    /// Identity on mTLS.
    pub tls: TlsFiles,
    /// The issuer.
    pub issuer: IssuerConfig,
    /// The simulated bank.
    pub simulated_bank: BankConfig,
    /// Audit logs that it witnesses.
    pub witness: Option<WitnessConfig>,
}

/// The platform as a witness of audit logs.
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    /// Its private key.
    pub key: PathBuf,
    /// Each log's key, whose name is the log's origin.
    pub logs: Vec<WitnessedLog>,
}

/// A log, and who may submit its checkpoints.
#[derive(Clone, Debug)]
pub struct WitnessedLog {
    /// The log's key.
    pub key: LogKey,
    /// Where the last cosigned checkpoint is kept.
    pub state: PathBuf,
    /// The submitter on mTLS: `obol://ROLE/NAME`.
    pub client: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki: [u8; 32],
}

/// The PEM files of this service on mTLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// The access CA.
    pub trust: PathBuf,
    /// Its revocation list, where there is one.
    pub crl: Option<PathBuf>,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Each issuer, by name and address.
    pub issuers: Vec<IssuerAddress>,
    /// The pinned root certificate.
    pub root: PathBuf,
    /// The accepted trust bundle.
    pub bundle: PathBuf,
}

/// Where money comes from.
#[derive(Clone, Debug)]
pub struct BankConfig {
    /// Its public key.
    pub public_key: PathBuf,
    /// Where a passenger pays.
    pub pay_url: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// Not TOML, or keys are missing, unknown or of another type.
    #[error("{} does not parse: {message}", path.display())]
    #[diagnostic(help("compare with platform.toml of the release, which explains each key"))]
    Syntax {
        /// The file.
        path: PathBuf,
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
    /// The tariff makes no fare pack.
    #[error("tariff {}: {reason}", path.display())]
    #[diagnostic(help(
        "correct the tariff; policies/tariffs/city.toml of the release explains each key"
    ))]
    Tariff {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] with the value seen.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let syntax = |message| ConfigError::Syntax {
            path: path.to_owned(),
            message,
        };
        let text = read_text(path)?;
        let raw: raw::Raw = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text[..start].lines().count().max(1);
            syntax(format!("line {line}: {}", error.message()))
        })?;
        raw.check(path.parent().unwrap_or(Path::new("")))
    }

    /// Compiles the tariff.
    ///
    /// # Errors
    /// [`ConfigError`] when the file cannot be read or makes no fare pack.
    pub fn fare_pack(&self) -> Result<FarePack, ConfigError> {
        compile_tariff(&self.tariff)
    }
}

/// Compiles a tariff's file into a fare pack.
///
/// # Errors
/// [`ConfigError`] when the file cannot be read or makes no fare pack.
pub fn compile_tariff(path: &Path) -> Result<FarePack, ConfigError> {
    obol_fare::tariff::compile(&read_text(path)?).map_err(|error| ConfigError::Tariff {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    String::from_utf8(read_limited(path, CONFIG_MAX)?).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: format!("not UTF-8 after byte {}", error.utf8_error().valid_up_to()),
    })
}
