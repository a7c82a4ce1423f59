//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::audit::arguments::Audit;
use crate::backup::arguments::BackupCommand;
use crate::ceremony::arguments::Ceremony;
use crate::crl::Crl;
use crate::drill::{BackupDrill, Prove};
use crate::keys::arguments::Keys;
use crate::officer::arguments::Officer;
use crate::probe::Probe;
use crate::rotation::arguments::Rotation;
use crate::tuf::arguments::Tuf;
use crate::waiver::arguments::{Waived, WaiverCommand};

/// Keys in PKCS#11 tokens: certificates, and the signing daemon.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The root CA
    #[command(subcommand)]
    Root(Root),
    /// The access CA, which names services and terminals
    #[command(subcommand)]
    AccessCa(AccessCa),
    /// Issuers of credentials
    #[command(subcommand)]
    Issuer(Issuer),
    /// Sign a request for an identity with the access CA
    Certify(Certify),
    /// Revocation lists of the authorities
    #[command(subcommand)]
    Crl(Crl),
    /// Tokens and their keys
    #[command(subcommand)]
    Token(Token),
    /// What a module and a token can do, asked of them
    Probe(Probe),
    /// The registry of keys: states, approvals, counters
    #[command(subcommand)]
    Keys(Keys),
    /// Plans of key and role rotations
    #[command(subcommand)]
    Rotation(Rotation),
    /// Officers: their keys, and what they approve
    #[command(subcommand)]
    Officer(Officer),
    /// Rules set aside by two officers, for one profile and for a while
    #[command(subcommand)]
    Waiver(WaiverCommand),
    /// Registry and audit log: copied while they are in use, checked, brought back
    #[command(subcommand)]
    Backup(BackupCommand),
    /// The audit log, from its files: check it, prove an entry, witness it
    #[command(subcommand)]
    Audit(Audit),
    /// Key ceremonies: plan, rehearse, approve, run, verify
    #[command(subcommand)]
    Ceremony(Ceremony),
    /// The trust repository: what officers sign in ceremonies, drafted and put together
    #[command(subcommand)]
    Tuf(Tuf),
    /// Serve typed signing of credentials over a Unix socket
    Serve(Serve),
    /// Read the daemon's configuration and print what is in force, defaults included
    CheckConfig(CheckConfig),
    /// Hold one token for the daemon that started this process
    #[command(hide = true)]
    Worker(Worker),
}

#[derive(Subcommand)]
pub(crate) enum Root {
    /// Generate the root key in its token and write the root certificate
    Create(CreateRoot),
}

#[derive(Subcommand)]
pub(crate) enum AccessCa {
    /// Generate the access CA's key in its token and have the root certify it
    Create(CreateAccessCa),
}

#[derive(Subcommand)]
pub(crate) enum Issuer {
    /// Generate an issuer's key in its token and have the root certify it
    Create(CreateIssuer),
}

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Show the tokens of a module and the keys of one token
    Show(Show),
    /// Copy a SoftHSM token, and prove that the copy's keys sign
    BackupDrill(BackupDrill),
    /// Have every key of a token sign, and print which did
    #[command(hide = true)]
    Prove(Prove),
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms root create --token root.token.toml --out root.pem")]
pub(crate) struct CreateRoot {
    /// Token file of the root's token
    #[arg(long)]
    pub(crate) token: PathBuf,
    #[command(flatten)]
    pub(crate) new: NewCertificate,
    /// Days that the certificate is good for
    #[arg(long, default_value_t = 7300)]
    pub(crate) days: u32,
}

/// What every new key and certificate needs.
#[derive(Args)]
pub(crate) struct NewCertificate {
    /// Certificate to write (PEM); never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Common name of the subject [default: after the command]
    #[arg(long)]
    pub(crate) common_name: Option<String>,
    /// Label of the key in its token, for people [default: after the command]
    #[arg(long)]
    pub(crate) key_label: Option<String>,
    #[command(flatten)]
    pub(crate) waived: Waived,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The root, as far as it certifies others.
#[derive(Args)]
pub(crate) struct UnderRoot {
    /// Token file of the root's token
    #[arg(long)]
    pub(crate) root_token: PathBuf,
    /// The root certificate (PEM)
    #[arg(long)]
    pub(crate) root: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms access-ca create --root-token root.token.toml --root root.pem \\
      --token access.token.toml --out access.pem")]
pub(crate) struct CreateAccessCa {
    #[command(flatten)]
    pub(crate) under: UnderRoot,
    /// Token file of the access CA's token
    #[arg(long)]
    pub(crate) token: PathBuf,
    #[command(flatten)]
    pub(crate) new: NewCertificate,
    /// Days that the certificate is good for
    #[arg(long, default_value_t = 1825)]
    pub(crate) days: u32,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms issuer create --root-token root.token.toml --root root.pem \\
      --token issuer.token.toml --operator linea --classes 1,2 --out issuer.pem")]
pub(crate) struct CreateIssuer {
    #[command(flatten)]
    pub(crate) under: UnderRoot,
    /// Token file of the issuer's token
    #[arg(long)]
    pub(crate) token: PathBuf,
    /// Operator whose credentials it signs: 1 to 32 of a-z, 0-9 and -
    #[arg(long)]
    pub(crate) operator: String,
    /// Passenger classes it may put into credentials, each 0 to 31
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) classes: Vec<u8>,
    /// Curve of the key
    #[arg(long, default_value = "p384")]
    pub(crate) curve: CurveName,
    #[command(flatten)]
    pub(crate) new: NewCertificate,
    /// Days that the certificate is good for
    #[arg(long, default_value_t = 90)]
    pub(crate) days: u32,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CurveName {
    P256,
    P384,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms certify --profile server --csr issuer.csr --ca access.pem --token access.token.toml \\
      --out issuer-tls.pem
  obol-kms certify --profile server --csr depot.csr --ca access.pem --token access.token.toml \\
      --days 400 --waivers depot-2.toml --roster roster.toml --out depot.pem")]
pub(crate) struct Certify {
    /// What the identity is for
    #[arg(long)]
    pub(crate) profile: Profile,
    /// Request (PEM) with exactly one URI name obol://ROLE/NAME
    #[arg(long)]
    pub(crate) csr: PathBuf,
    /// Certificate of the access CA (PEM)
    #[arg(long)]
    pub(crate) ca: PathBuf,
    /// Token file of the access CA's token
    #[arg(long)]
    pub(crate) token: PathBuf,
    /// Certificate to write (PEM); never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Days that the certificate is good for
    #[arg(long, default_value_t = 90)]
    pub(crate) days: u32,
    #[command(flatten)]
    pub(crate) waived: Waived,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    Server,
    Client,
    Terminal,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms token show --module /usr/lib/softhsm/libsofthsm2.so
  obol-kms token show --token issuer.token.toml --json")]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) of: ShowOf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ShowOf {
    /// Token file: show that token's keys as well
    #[arg(long)]
    pub(crate) token: Option<PathBuf>,
    /// PKCS#11 library: show its tokens only
    #[arg(long)]
    pub(crate) module: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms serve --config kms.toml

Exit codes:
  0  stopped as it was asked to
  2  configuration, registry, audit log or socket: correct it first
  3  a token refused its PIN: never start it again with this PIN, tokens lock
  4  a token is not there or does not answer: it may be started again")]
pub(crate) struct Serve {
    /// Configuration of the daemon
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Stop when standard input ends, so that the daemon never outlives its starter
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms check-config --config kms.toml")]
pub(crate) struct CheckConfig {
    /// Configuration of the daemon
    #[arg(long)]
    pub(crate) config: PathBuf,
}

#[derive(Args)]
pub(crate) struct Worker {
    /// Token file of the token
    #[arg(long)]
    pub(crate) token: PathBuf,
}
