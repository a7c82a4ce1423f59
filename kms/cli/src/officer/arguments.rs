//! The command line of `obol-kms officer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Officer {
    /// Make an officer's key and print the officer's lines for a roster
    Keygen(Keygen),
    /// Read a request, and sign it if it is what it should be
    Approve(Approve),
}

#[derive(Args)]
#[command(after_help = "Example: two officers and a roster
  obol-kms officer keygen --name alice --key alice.key >> roster.toml
  obol-kms officer keygen --name bob --key bob.key >> roster.toml
  printf '[quorum]\\nactivate = 2\\nunsuspend = 2\\ncancel-destruction = 2\\ndestroy = 2\\n' >> roster.toml")]
pub(crate) struct Keygen {
    /// Name on the roster: 1 to 32 of a-z, 0-9 and -
    #[arg(long)]
    pub(crate) name: String,
    /// Private key to write (PEM, mode 0600); never overwritten
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Print JSON instead of lines for a roster
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms officer approve --request activate.request --key alice.key --out alice.approval")]
pub(crate) struct Approve {
    /// What `keys request` wrote
    #[arg(long)]
    pub(crate) request: PathBuf,
    /// The officer's private key (mode 0600 or 0400)
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Approval to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Sign without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
