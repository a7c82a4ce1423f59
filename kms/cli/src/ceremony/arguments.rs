//! The command line of `obol-kms ceremony`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use obol_log::LogKey;

use crate::audit::arguments::log_key;
use crate::keys::arguments::seconds;

#[derive(Subcommand)]
pub(crate) enum Ceremony {
    /// Initialise a token: PIN from people, the first roster's hash pinned in it
    Token(InitToken),
    /// Write a plan from a template: adds this machine's hashes, the tokens and the files
    Fill(Fill),
    /// Check a plan, print its hash in hex and words, and write the procedure
    Plan(CheckPlan),
    /// Go through a plan on throwaway tokens
    Rehearse(Rehearse),
    /// Draw the id of a ceremony and write what officers are to approve
    Request(Request),
    /// Read what a ceremony will do, and sign it if it is what it should be
    Approve(Approve),
    /// Run an approved plan
    Run(Run),
    /// Go on with a ceremony that was interrupted
    Resume(Resume),
    /// Check the bundles of ceremonies, offline
    Verify(Verify),
    /// Print a file's hash in hex and words, to be read aloud where it is handed over
    Hash(HashFile),
}

/// The rosters.
#[derive(Args)]
pub(crate) struct Rosters {
    /// The first roster: its hash is pinned in the tokens
    #[arg(long)]
    pub(crate) roster: PathBuf,
    /// A change of the roster, in order; once for each
    #[arg(long)]
    pub(crate) roster_change: Vec<PathBuf>,
}

/// Who takes part, with which tokens.
#[derive(Args)]
pub(crate) struct Present {
    /// A token of the plan: NAME=TOKEN_FILE; once for each
    #[arg(long, value_parser = named)]
    pub(crate) token: Vec<Named>,
    /// The PIN of a token comes from shares: NAME=SHARE_SHEET
    #[arg(long, value_parser = named)]
    pub(crate) shares: Vec<Named>,
    /// Private key of the officer who executes
    #[arg(long)]
    pub(crate) executor: PathBuf,
    /// Private key of the witness
    #[arg(long)]
    pub(crate) witness: PathBuf,
}

/// `NAME=PATH`.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony token --module /usr/lib/softhsm/libsofthsm2.so --label root \\
      --roster roster.toml --holders alice,bob,carol --threshold 2 \\
      --shares root.shares.toml --out root.token.toml")]
pub(crate) struct InitToken {
    /// PKCS#11 library
    #[arg(long)]
    pub(crate) module: PathBuf,
    /// Label of the token, 1 to 32 bytes
    #[arg(long)]
    pub(crate) label: String,
    /// The first roster
    #[arg(long)]
    pub(crate) roster: PathBuf,
    /// Who holds a share of the PIN; without holders the PIN is typed
    #[arg(
        long,
        value_delimiter = ',',
        requires = "threshold",
        requires = "shares"
    )]
    pub(crate) holders: Vec<String>,
    /// How many shares make the PIN
    #[arg(long, requires = "holders")]
    pub(crate) threshold: Option<u8>,
    /// Share sheet to write; never overwritten
    #[arg(long, requires = "holders")]
    pub(crate) shares: Option<PathBuf>,
    /// Token file to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony fill policies/ceremonies/root-generation.toml \\
      --token root=root.token.toml --out root.plan.toml")]
pub(crate) struct Fill {
    /// Template: a plan without [environment] and without [[inputs]]
    pub(crate) template: PathBuf,
    /// A token of the plan: NAME=TOKEN_FILE
    #[arg(long, value_parser = named)]
    pub(crate) token: Vec<Named>,
    /// A file that the plan reads: NAME=FILE
    #[arg(long, value_parser = named)]
    pub(crate) input: Vec<Named>,
    /// Key of the audit log of the daemon that serves the tokens, NAME+ID+BASE64
    #[arg(long, value_parser = log_key)]
    pub(crate) audit: Option<LogKey>,
    /// Plan to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony plan root.plan.toml --roster roster.toml \\
      --markdown root.md --html root.html")]
pub(crate) struct CheckPlan {
    /// The plan
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) rosters: Rosters,
    /// Procedure to write; never overwritten
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
    /// The same for a printer; never overwritten
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony rehearse root.plan.toml --roster roster.toml \\
      --token root=throwaway.token.toml --executor alice.key --witness wendy.key \\
      --out root.rehearsal")]
pub(crate) struct Rehearse {
    /// The plan
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) rosters: Rosters,
    /// Folder of the plan's inputs [default: that of the plan]
    #[arg(long)]
    pub(crate) inputs: Option<PathBuf>,
    /// Bundle of the last ceremony of this kind, where the plan names it
    #[arg(long)]
    pub(crate) last: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) present: Present,
    /// Folder to write; must not exist
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony request root.plan.toml --roster roster.toml \\
      --rehearsal root.rehearsal --out root.request")]
pub(crate) struct Request {
    /// The plan
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) rosters: Rosters,
    /// What `ceremony rehearse` wrote
    #[arg(long)]
    pub(crate) rehearsal: PathBuf,
    /// How long approvals will count, at most 30d
    #[arg(long, default_value = "24h", value_parser = seconds)]
    pub(crate) valid_for: u32,
    /// Request to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony approve --request root.request --plan root.plan.toml \\
      --key alice.key --out alice.approval")]
pub(crate) struct Approve {
    /// What `ceremony request` wrote
    #[arg(long)]
    pub(crate) request: PathBuf,
    /// The plan that the request is about
    #[arg(long)]
    pub(crate) plan: PathBuf,
    /// The officer's private key (mode 0600 or 0400)
    #[arg(long)]
    pub(crate) key: PathBuf,
    /// Approval to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony run root.plan.toml --roster roster.toml --rehearsal root.rehearsal \\
      --approval alice.approval --approval bob.approval \\
      --token root=root.token.toml --shares root=root.shares.toml \\
      --executor alice.key --witness wendy.key --out root.bundle")]
pub(crate) struct Run {
    /// The plan
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) rosters: Rosters,
    /// What `ceremony rehearse` wrote
    #[arg(long)]
    pub(crate) rehearsal: PathBuf,
    /// An officer's approval; once for each
    #[arg(long)]
    pub(crate) approval: Vec<PathBuf>,
    /// Folder of the plan's inputs [default: that of the plan]
    #[arg(long)]
    pub(crate) inputs: Option<PathBuf>,
    /// Bundle of the last ceremony of this kind, where the plan names it
    #[arg(long)]
    pub(crate) last: Option<PathBuf>,
    /// Folder of the daemon's audit log, or of a copy, where the plan names the log
    #[arg(long)]
    pub(crate) audit_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) present: Present,
    /// Bundle to write; must not exist
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony resume root.bundle --token root=root.token.toml \\
      --shares root=root.shares.toml --executor alice.key --witness wendy.key")]
pub(crate) struct Resume {
    /// The bundle of the interrupted ceremony
    pub(crate) bundle: PathBuf,
    /// Folder of the daemon's audit log, or of a copy, where the plan names the log
    #[arg(long)]
    pub(crate) audit_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) present: Present,
}

#[derive(Args)]
#[command(
    after_help = "Example: the hash is that of the first roster, as it was read aloud
  obol-kms ceremony verify root.bundle request.bundle issuer.bundle --roster 5c0e…"
)]
pub(crate) struct Verify {
    /// A bundle; of several, each file that travelled between them is traced to where it was made
    #[arg(required = true)]
    pub(crate) bundle: Vec<PathBuf>,
    /// Hash of the first roster, 64 hexadecimal digits
    #[arg(long)]
    pub(crate) roster: String,
    /// Print JSON, a line for each bundle
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms ceremony hash access.csr")]
pub(crate) struct HashFile {
    /// The file
    pub(crate) file: PathBuf,
}

fn named(text: &str) -> Result<Named, String> {
    let parts = text
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty());
    let (name, path) = parts.ok_or_else(|| format!("{text:?} is not NAME=PATH"))?;
    let (name, path) = (name.to_owned(), PathBuf::from(path));
    Ok(Named { name, path })
}
