//! The command line of `obol-kms keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use obol_kms_registry::rotation::duration_s;
use obol_kms_registry::{Class, SpkiId};

use crate::rotation::arguments::ClearedBy;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a registry with a roster of officers
    Init(Init),
    /// List every key there has been
    List(List),
    /// Show one key and its history
    Show(Show),
    /// Have a token make a key, and register it
    Generate(Generate),
    /// Register a key that a token has made
    Register(Register),
    /// Record a key's certificate
    Certify(Certify),
    /// Record that those who verify have been told of a key
    Publish(Publish),
    /// Write what officers sign for a change
    Request(Request),
    /// Let a published key sign, or a suspended one again (k officers)
    #[command(after_help = "Examples:
  obol-kms keys activate SPKI --registry keys.registry --reason 'first issuer key' --no-fleet \\
      --approval alice.approval --approval bob.approval
  obol-kms keys activate SPKI --registry keys.registry --reason 'planned rotation' \\
      --plan rotation.toml --fleet fleet.toml \\
      --approval alice.approval --approval bob.approval")]
    Activate(Activate),
    /// Let a key sign no more; later, record that nothing it signed is in use (one officer; none)
    #[command(after_help = "Example:
  obol-kms keys retire SPKI --registry keys.registry --reason 'replaced by the next one' \\
      --approval alice.approval")]
    Retire(Act),
    /// Stop a key for now (one officer)
    #[command(after_help = "Example:
  obol-kms keys suspend SPKI --registry keys.registry --reason 'the depot was broken into' \\
      --approval alice.approval")]
    Suspend(Act),
    /// Stop a key for good: somebody else may have it (one officer)
    #[command(after_help = "Example:
  obol-kms keys compromise SPKI --registry keys.registry --reason 'the token is lost' \\
      --approval alice.approval")]
    Compromise(Act),
    /// Set the day of a key's destruction; from that day on, destroy it (k officers each)
    Destroy(Destroy),
    /// Call a destruction off (k officers)
    #[command(after_help = "Example:
  obol-kms keys cancel SPKI --registry keys.registry --reason 'still needed' \\
      --approval alice.approval --approval bob.approval")]
    Cancel(Act),
    /// List attempts to use keys that must not be used
    #[command(after_help = "Example:
  obol-kms keys alarms --registry keys.registry --json")]
    Alarms(Plain),
    /// Examine the registry: states, histories and approvals
    #[command(after_help = "Example:
  obol-kms keys examine --registry keys.registry")]
    Examine(Plain),
    /// Copy the registry into one new file while it is in use
    Backup(Backup),
    /// Make a registry from a backup; active keys come back suspended
    Restore(Restore),
}

/// The registry, and how to print.
#[derive(Args)]
pub(crate) struct Plain {
    /// The registry
    #[arg(long)]
    pub(crate) registry: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys init --registry keys.registry --roster roster.toml --propagation 96h --tail 48h")]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Officers and quorum (TOML); its hash is pinned
    #[arg(long)]
    pub(crate) roster: PathBuf,
    /// How long a key must have been published before it signs: a number and s, m, h or d; 0s only
    /// where there is no terminal
    #[arg(long, value_parser = seconds)]
    pub(crate) propagation: u32,
    /// How long a retiring key stays verifiable: the longest life of what it signs
    #[arg(long, value_parser = seconds)]
    pub(crate) tail: u32,
    /// Days that a destruction waits: 7 to 30
    #[arg(long, default_value_t = 30)]
    pub(crate) destruction_wait_days: u32,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms keys list --registry keys.registry
  obol-kms keys list --registry keys.registry --token issuer.token.toml --json")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Token: say of its keys whether it shows them now
    #[arg(long)]
    pub(crate) token: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys show SPKI --registry keys.registry --json")]
pub(crate) struct Show {
    /// The key's SPKI id
    pub(crate) spki: SpkiId,
    #[command(flatten)]
    pub(crate) plain: Plain,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys generate --registry keys.registry --token issuer.token.toml --class audit \\
      --label audit")]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Token that makes the key
    #[arg(long)]
    pub(crate) token: PathBuf,
    /// The key's label in the token, for people: 1 to 64 printable ASCII characters
    #[arg(long)]
    pub(crate) label: String,
    /// What the key is for; never changed: access-ca, issuer, tuf-root, tuf-targets, tuf-online,
    /// audit or ledger-close
    #[arg(long)]
    pub(crate) class: Class,
    /// Most uses in the key's life [default: after the class]
    #[arg(long)]
    pub(crate) lifetime_uses: Option<u64>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys register --registry keys.registry --token issuer.token.toml \\
      --label issuer-linea --class issuer")]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Token that has the key
    #[arg(long)]
    pub(crate) token: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    /// What the key is for; never changed: root, issuer, access-ca, tuf-root, tuf-targets,
    /// tuf-online, audit, channel, ledger-close or data
    #[arg(long)]
    pub(crate) class: Class,
    /// Most uses in the key's life [default: after the class]
    #[arg(long)]
    pub(crate) lifetime_uses: Option<u64>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The key's label in the token
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// The key's SPKI id
    #[arg(long)]
    pub(crate) spki: Option<SpkiId>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys certify --registry keys.registry --certificate issuer.pem")]
pub(crate) struct Certify {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// The certificate (PEM); it names its key
    #[arg(long)]
    pub(crate) certificate: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys publish SPKI --registry keys.registry")]
pub(crate) struct Publish {
    /// The key's SPKI id
    pub(crate) spki: SpkiId,
    #[command(flatten)]
    pub(crate) plain: Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verb {
    Activate,
    Retire,
    Suspend,
    Compromise,
    Destroy,
    Cancel,
}

#[derive(Args)]
#[command(
    after_help = "Example: the request goes to the officers, their approvals come back
  obol-kms keys request SPKI activate --registry keys.registry --no-fleet --out activate.request
  obol-kms officer approve --request activate.request --key alice.key --out alice.approval
  obol-kms keys activate SPKI --registry keys.registry --reason 'first issuer key' --no-fleet \\
      --approval alice.approval --approval bob.approval"
)]
pub(crate) struct Request {
    /// The key's SPKI id
    pub(crate) spki: SpkiId,
    /// What shall be done
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// How long approvals will count, at most 30d
    #[arg(long, default_value = "24h", value_parser = seconds)]
    pub(crate) valid_for: u32,
    #[command(flatten)]
    pub(crate) cleared_by: ClearedBy,
    /// Request to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Act {
    /// The key's SPKI id
    pub(crate) spki: SpkiId,
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// Why, in one line; kept in the key's history
    #[arg(long)]
    pub(crate) reason: String,
    /// An officer's approval; once for each
    #[arg(long)]
    pub(crate) approval: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    pub(crate) act: Act,
    #[command(flatten)]
    pub(crate) cleared_by: ClearedBy,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms keys destroy SPKI --registry keys.registry --reason 'end of life' \\
      --approval alice.approval --approval bob.approval
  obol-kms keys destroy SPKI --registry keys.registry --reason 'end of life' \\
      --approval alice.approval --approval bob.approval --token issuer.token.toml")]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) act: Act,
    /// Token to destroy the key in, on the day; again if it failed then
    #[arg(long)]
    pub(crate) token: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys backup --registry keys.registry --out keys.backup")]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) plain: Plain,
    /// File to write; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms keys restore --backup keys.backup --out keys.registry")]
pub(crate) struct Restore {
    /// The backup
    #[arg(long)]
    pub(crate) backup: PathBuf,
    /// Registry to make; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `90s`, `15m`, `96h`, `4d`.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    duration_s(text).ok_or_else(|| format!("{text:?} is not a number with s, m, h or d behind it"))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(seconds("96h"), Ok(345_600));
        let wrong = r#""90" is not a number with s, m, h or d behind it"#;
        assert_eq!(seconds("90"), Err(wrong.to_owned()));
    }
}
