//! The command line of `obol-kms audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use obol_kms_registry::SpkiId;
use obol_log::{LogKey, VkeyError, WitnessKey};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Check every byte of a log, and that it continues what a witness has seen
    Verify(Verify),
    /// Copy a log while its daemon appends to it, and check the copy
    Copy(Copy),
    /// Prove that an entry stands in a log
    Prove(Prove),
    /// Check a proof and the entry it is for, without the log
    CheckProof(CheckProof),
    /// Write what a witness needs: the last checkpoint, and the proof that it continues an earlier one
    Submission(Submission),
    /// Cosign a checkpoint after checking that it continues the last one that was cosigned
    Witness(Witness),
    /// Make a witness's key
    WitnessKey(NewWitnessKey),
    /// Show a log's key as the other commands take it
    Key(Key),
}

/// A log and whom to believe about it.
#[derive(Args)]
pub(crate) struct Log {
    /// Folder of the log, or of a copy of it
    #[arg(long)]
    pub(crate) log: PathBuf,
    /// Key of the log, NAME+ID+BASE64; its name is the log's. Repeat it for former keys
    #[arg(long = "key", required = true, value_parser = log_key)]
    pub(crate) keys: Vec<LogKey>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms audit verify --log /var/lib/obol/audit --key \"$LOG_KEY\"
  obol-kms audit verify --log copy --key \"$LOG_KEY\" --witness \"$WITNESS_KEY\" --witnessed platform.checkpoint

A log that was set back to an earlier state of itself has nothing wrong in it: give the last checkpoint
that a witness keeps with --witnessed to find that.")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) log: Log,
    /// Key of a witness, NAME+ID+BASE64; may be repeated
    #[arg(long = "witness", value_parser = witness_key)]
    pub(crate) witnesses: Vec<WitnessKey>,
    /// Checkpoint that was kept outside the log's folder
    #[arg(long)]
    pub(crate) witnessed: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms audit copy --log /var/lib/obol/audit --key \"$LOG_KEY\" --out for-the-auditor")]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) log: Log,
    /// Folder to make; never overwritten, and not there at all unless the copy holds
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms audit prove --log /var/lib/obol/audit --key \"$LOG_KEY\" --index 41
  obol-kms audit prove --log copy --key \"$LOG_KEY\" --index 41 --out 41.tlog-proof --entry 41.entry")]
pub(crate) struct Prove {
    #[command(flatten)]
    pub(crate) log: Log,
    /// Place of the entry in the log, from 0
    #[arg(long)]
    pub(crate) index: u64,
    /// Where to write the proof [default: standard output]; never overwritten
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Where to write the entry's bytes; never overwritten
    #[arg(long)]
    pub(crate) entry: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms audit check-proof --key \"$LOG_KEY\" --proof 41.tlog-proof --entry 41.entry")]
pub(crate) struct CheckProof {
    /// Key of the log, NAME+ID+BASE64
    #[arg(long, value_parser = log_key)]
    pub(crate) key: LogKey,
    /// Key of a witness that must have cosigned; may be repeated
    #[arg(long = "witness", value_parser = witness_key)]
    pub(crate) witnesses: Vec<WitnessKey>,
    /// The proof
    #[arg(long)]
    pub(crate) proof: PathBuf,
    /// The entry's bytes
    #[arg(long)]
    pub(crate) entry: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms audit submission --log /var/lib/obol/audit --key \"$LOG_KEY\" --old 1000 --out to-witness")]
pub(crate) struct Submission {
    #[command(flatten)]
    pub(crate) log: Log,
    /// Entries that the witness's last cosigned checkpoint covers; 0 when it has seen none
    #[arg(long)]
    pub(crate) old: u64,
    /// Where to write it [default: standard output]; never overwritten
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  obol-kms audit witness --key \"$LOG_KEY\" --witness-key witness.key --state seen.checkpoint --log /mnt/audit
  obol-kms audit witness --key \"$LOG_KEY\" --witness-key witness.key --state seen.checkpoint \\
      --submission from-the-log --out cosigned

The state is the last checkpoint that was cosigned; keep it where the log's operator cannot write.")]
pub(crate) struct Witness {
    /// Key of the log, NAME+ID+BASE64
    #[arg(long, value_parser = log_key)]
    pub(crate) key: LogKey,
    /// The witness's private key
    #[arg(long)]
    pub(crate) witness_key: PathBuf,
    /// The last checkpoint that was cosigned; made at the first time
    #[arg(long)]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) from: WitnessFrom,
    /// Where to write the cosigned checkpoint [default: standard output]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WitnessFrom {
    /// Folder of the log
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
    /// What `audit submission` wrote where the log is
    #[arg(long)]
    pub(crate) submission: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms audit witness-key --name auditor.example/w1 --out witness.key")]
pub(crate) struct NewWitnessKey {
    /// Name of the witness: a URL without scheme
    #[arg(long)]
    pub(crate) name: String,
    /// Where to write the private key, mode 0600; never overwritten
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms audit key --name kms.example/audit --registry keys.registry
  obol-kms audit key --name kms.example/audit --public audit.pem")]
pub(crate) struct Key {
    /// Name of the log: a URL without scheme
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) of: KeyOf,
    /// SPKI id of the key in the registry [default: the only active one of class audit]
    #[arg(long, requires = "registry")]
    pub(crate) spki: Option<SpkiId>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyOf {
    /// Public key on P-256 (PEM, BEGIN PUBLIC KEY)
    #[arg(long)]
    pub(crate) public: Option<PathBuf>,
    /// Registry that has the key
    #[arg(long)]
    pub(crate) registry: Option<PathBuf>,
}

pub(crate) fn log_key(text: &str) -> Result<LogKey, VkeyError> {
    LogKey::from_vkey(text)
}

pub(crate) fn witness_key(text: &str) -> Result<WitnessKey, VkeyError> {
    WitnessKey::from_vkey(text)
}
