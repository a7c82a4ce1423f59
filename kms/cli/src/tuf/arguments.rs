//! The command line of `obol-kms tuf`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Tuf {
    /// Draft root metadata, for the officers' ceremonies
    DraftRoot(DraftRoot),
    /// Make the trust bundle of issuers' certificates, which targets vouch for
    DraftBundle(DraftBundle),
    /// Draft targets metadata of one period or several, for a ceremony
    DraftTargets(DraftTargets),
    /// Put metadata and the ceremonies' signatures together, if enough have signed
    Assemble(Assemble),
}

#[derive(Args)]
#[command(
    after_help = "Example: keys are requests of key ceremonies, or SPKI ids in the registry
  obol-kms tuf draft-root --version 1 --officer alice.csr --officer bob.csr --officer carol.csr \\
      --targets targets.csr --timestamp SPKI --snapshot SPKI --registry keys.registry \\
      --out root-1.json"
)]
pub(crate) struct DraftRoot {
    /// From 1, one above the root before
    #[arg(long)]
    pub(crate) version: u32,
    /// Days until it is out of date
    #[arg(long, default_value_t = 365)]
    pub(crate) days: u32,
    /// An officer's key; once for each
    #[arg(long, value_name = "KEY", required = true)]
    pub(crate) officer: Vec<String>,
    /// How many officers must sign, at least 2
    #[arg(long, default_value_t = 2)]
    pub(crate) threshold: u32,
    /// Key of targets, offline
    #[arg(long, value_name = "KEY")]
    pub(crate) targets: String,
    /// Key of timestamp, online
    #[arg(long, value_name = "KEY")]
    pub(crate) timestamp: String,
    /// Key of snapshot, online
    #[arg(long, value_name = "KEY")]
    pub(crate) snapshot: String,
    /// Where keys that are given by their SPKI id are found
    #[arg(long)]
    pub(crate) registry: Option<PathBuf>,
    /// Metadata to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms tuf draft-bundle --certificate issuer-1.pem --certificate issuer-2.pem --days 100 \\
      --out trust-bundle.cbor")]
pub(crate) struct DraftBundle {
    /// An issuer's certificate (PEM); once for each
    #[arg(long, required = true)]
    pub(crate) certificate: Vec<PathBuf>,
    /// Days until it is out of date: no fewer than the targets that vouch for it
    #[arg(long)]
    pub(crate) days: u32,
    /// Bundle to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(
    after_help = "Examples: three periods ahead; then an emergency above all that were signed ahead
  obol-kms tuf draft-targets --first 1 --periods 3 --period-days 30 --bundle trust-bundle.cbor \\
      --denylist SPKI --fares SPKI --registry keys.registry --out-dir drafts
  obol-kms tuf draft-targets --first 1001 --period-days 30 --bundle without-issuer-1.cbor \\
      --denylist SPKI --fares SPKI --registry keys.registry --out-dir drafts"
)]
pub(crate) struct DraftTargets {
    /// Version of the first period; the others count up from it
    #[arg(long)]
    pub(crate) first: u32,
    /// How many periods, 1 to 64
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) periods: u32,
    /// Days of each period, 1 to 366
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) period_days: u32,
    /// The trust bundle; it may not end before the last period does
    #[arg(long)]
    pub(crate) bundle: PathBuf,
    /// Key of status lists and blocked keys, online
    #[arg(long, value_name = "KEY")]
    pub(crate) denylist: String,
    /// Key of fare packs, online
    #[arg(long, value_name = "KEY")]
    pub(crate) fares: String,
    /// Where keys that are given by their SPKI id are found
    #[arg(long)]
    pub(crate) registry: Option<PathBuf>,
    /// Where to write targets-VERSION.json; none is overwritten
    #[arg(long)]
    pub(crate) out_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples: the names are those of the publisher's folder
  obol-kms tuf assemble --metadata root-1.json --signature root-1.alice.json \\
      --signature root-1.bob.json --out officers/root/1.root.json
  obol-kms tuf assemble --metadata targets-1.json --signature targets-1.signature.json \\
      --root officers/root/1.root.json --out officers/targets/1.targets.json")]
pub(crate) struct Assemble {
    /// What was signed
    #[arg(long)]
    pub(crate) metadata: PathBuf,
    /// A signature that a ceremony wrote; once for each
    #[arg(long, required = true)]
    pub(crate) signature: Vec<PathBuf>,
    /// Signed root that names the keys: for targets the one in force, for a root the one before
    #[arg(long)]
    pub(crate) root: Option<PathBuf>,
    /// Signed metadata to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
