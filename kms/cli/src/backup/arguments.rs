//! The command line of `obol-kms backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use obol_log::{LogKey, WitnessKey};

use crate::audit::arguments::{log_key, witness_key};

#[derive(Subcommand)]
pub(crate) enum BackupCommand {
    /// Copy registry and audit log into one new folder while the daemon runs, and check the copy
    Create(Create),
    /// Check a backup: every byte of the log, every history of the registry
    Verify(Verify),
    /// Make registry and audit log from a backup; active keys come back suspended
    Restore(Restore),
}

/// The log's keys.
#[derive(Args)]
pub(crate) struct LogKeys {
    /// Key of the log, NAME+ID+BASE64; its name is the log's. Repeat it for former keys
    #[arg(long = "key", required = true, value_parser = log_key)]
    pub(crate) keys: Vec<LogKey>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms backup create --registry keys.registry --audit /var/lib/obol/audit --key \"$LOG_KEY\" \\
      --out /backup/kms-monday

Keys are not in it: they do not leave their token. See docs/hsm-vendors.md for how a token is copied.")]
pub(crate) struct Create {
    /// The registry
    #[arg(long)]
    pub(crate) registry: PathBuf,
    /// Folder of the audit log
    #[arg(long)]
    pub(crate) audit: PathBuf,
    #[command(flatten)]
    pub(crate) keys: LogKeys,
    /// Folder to make; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms backup verify --backup /backup/kms-monday --key \"$LOG_KEY\"
  obol-kms backup verify --backup /backup/kms-monday --key \"$LOG_KEY\" \\
      --witness \"$WITNESS_KEY\" --witnessed platform.checkpoint --json

A backup is older than what a witness has seen since: --witnessed refuses it then.")]
pub(crate) struct Verify {
    /// The backup's folder
    #[arg(long)]
    pub(crate) backup: PathBuf,
    #[command(flatten)]
    pub(crate) keys: LogKeys,
    /// Key of a witness, NAME+ID+BASE64; may be repeated
    #[arg(long = "witness", value_parser = witness_key)]
    pub(crate) witnesses: Vec<WitnessKey>,
    /// Checkpoint that was kept outside the log's folder
    #[arg(long)]
    pub(crate) witnessed: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms backup restore --backup /backup/kms-monday --key \"$LOG_KEY\" \\
      --registry keys.registry --audit /var/lib/obol/audit")]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) from: Verify,
    /// Registry to make; never overwritten
    #[arg(long)]
    pub(crate) registry: PathBuf,
    /// Folder of the audit log to make; never overwritten
    #[arg(long)]
    pub(crate) audit: PathBuf,
}
