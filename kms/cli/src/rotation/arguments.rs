use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Rotation {
    /// Write a plan's keys as the registry knows them, to be completed by hand
    Draft(Draft),
    /// Hold a plan of rotations against how often terminals refresh: whom it would strand
    Simulate(Simulate),
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms rotation draft --registry keys.registry >> rotation.toml")]
pub(crate) struct Draft {
    /// The registry
    #[arg(long)]
    pub(crate) registry: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms rotation simulate rotation.toml --fleet fleet.toml

Exit codes:
  0  the plan strands nobody
  1  it does; whom, and why, is on standard output
  2  plan or fleet does not read")]
pub(crate) struct Simulate {
    /// Plan (TOML): keys, roots, bundles, and when each comes and goes
    pub(crate) plan: PathBuf,
    /// Fleet (TOML): how long terminals were silent between two refreshes
    #[arg(long)]
    pub(crate) fleet: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What clears the activation of a key that terminals meet: issuer, access-ca, tuf-root,
/// tuf-targets, tuf-online. Keys of other classes take none of it.
#[derive(Args)]
pub(crate) struct ClearedBy {
    /// To activate a key that terminals meet: the plan of rotations it belongs to
    #[arg(long, requires = "fleet", conflicts_with = "no_fleet")]
    pub(crate) plan: Option<PathBuf>,
    /// The fleet that the plan is held against
    #[arg(long, requires = "plan")]
    pub(crate) fleet: Option<PathBuf>,
    /// Activate although the plan strands somebody; officers sign that they know
    #[arg(long, requires = "plan")]
    pub(crate) waive: bool,
    /// In place of a plan: no terminal is in service yet
    #[arg(long)]
    pub(crate) no_fleet: bool,
}
