//! The command line of `obol-kms waiver`, and of commands that issue under waivers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum WaiverCommand {
    /// Write a waiver of one rule for one profile, for officers to sign
    Create(Create),
    /// Read a waiver, and sign it if it is what it should be
    Sign(Sign),
    /// Show the waivers of a file; nothing is verified
    Show(Show),
    /// Check that the waivers of a file are in force: rule, version, date, two officers
    Check(Check),
}

#[derive(Args)]
#[command(after_help = "Example: from the wish to the certificate
  obol-kms waiver create --rule validity-within-profile --profile server --days 30 \\
      --reason 'the depot is rebuilt until spring' --out depot.toml
  obol-kms waiver sign --waiver depot.toml --roster roster.toml --key alice.key --out depot-1.toml
  obol-kms waiver sign --waiver depot-1.toml --roster roster.toml --key bob.key --out depot-2.toml
  obol-kms certify --profile server --csr depot.csr --ca access.pem --token access.token.toml \\
      --days 400 --waivers depot-2.toml --roster roster.toml --out depot.pem")]
pub(crate) struct Create {
    /// Id of the rule in policies/lints.toml
    #[arg(long)]
    pub(crate) rule: String,
    /// Profile that it is set aside for: root, access-ca, issuer, server, client, terminal or crl
    #[arg(long)]
    pub(crate) profile: String,
    /// Why, for those who read it in a year: 1 to 500 bytes
    #[arg(long)]
    pub(crate) reason: String,
    /// Days from now that it is good for: 1 to 366
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: u32,
    /// Waiver to write (TOML); never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms waiver sign --waiver depot.toml --roster roster.toml --key alice.key --out depot-1.toml")]
pub(crate) struct Sign {
    /// The waiver, with the approvals it has so far
    #[arg(long)]
    pub(crate) waiver: PathBuf,
    #[command(flatten)]
    pub(crate) of: OfRoster,
    /// The officer's private key (mode 0600 or 0400)
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// The waiver with one approval more; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Sign without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms waiver show --waiver depot-1.toml")]
pub(crate) struct Show {
    /// Waivers (TOML)
    #[arg(long)]
    pub(crate) waiver: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms waiver check --waiver depot-2.toml --registry keys.registry")]
pub(crate) struct Check {
    /// Waivers (TOML)
    #[arg(long)]
    pub(crate) waiver: PathBuf,
    #[command(flatten)]
    pub(crate) of: OfRoster,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who may approve.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct OfRoster {
    /// Roster of the officers (TOML)
    #[arg(long)]
    pub(crate) roster: Option<PathBuf>,
    /// Registry whose roster it is
    #[arg(long)]
    pub(crate) registry: Option<PathBuf>,
}

/// Waivers under which something is issued.
#[derive(Args)]
pub(crate) struct Waived {
    /// Waivers in force (TOML), each signed by two officers of --roster or --registry
    #[arg(long)]
    pub(crate) waivers: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: OfRoster,
}
