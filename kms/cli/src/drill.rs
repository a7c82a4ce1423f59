//! A SoftHSM token copied, and the copy proven by itself.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use obol_console::{Mode, Outcome, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms::{SignError, drill};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::{must_be_free, print_json};
use crate::tokens::Modules;

const SOFTHSM: &str = "SoftHSM project";
const CONF: &str = "softhsm2.conf";
const TOKENS: &str = "tokens";

#[derive(Args)]
#[command(after_help = "Example:
  obol-kms token backup-drill --token issuer.token.toml --tokens /var/lib/softhsm/tokens \\
      --out /backup/issuer-token

The copy is opened in a process of its own, with a configuration that knows the copy alone. Each key
of the token must be there, by its SPKI id, and sign. The copy stays: it is as secret as the token.")]
pub(crate) struct BackupDrill {
    /// Token file of the token that is copied
    #[arg(long)]
    token: PathBuf,
    /// SoftHSM's folder of tokens (directories.tokendir)
    #[arg(long)]
    tokens: PathBuf,
    /// Folder to make, with the copy and its softhsm2.conf; never overwritten
    #[arg(long)]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Prove {
    /// Token file of the token
    #[arg(long)]
    token: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Proven {
    serial: String,
    /// SPKI ids of the keys that signed.
    keys: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
enum DrillFailed {
    #[error("the token is made by {0:?}: its keys are in no folder that could be copied")]
    NotSoftHsm(String),
    #[error("{} cannot be copied", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("the process that was to open the copy failed: {0}")]
    Child(String),
    #[error("the copy lacks key {0}")]
    Missing(String),
    #[error("the token has no key that could prove a copy")]
    NoKeys,
}

impl From<DrillFailed> for Failure {
    fn from(error: DrillFailed) -> Failure {
        match error {
            DrillFailed::NotSoftHsm(_) => Failure::refused(
                error,
                "copy it with the vendor's own tool; docs/hsm-vendors.md says how the copy is proven",
            ),
            DrillFailed::Copy { .. } => {
                Failure::with_help(error, "check the path, its permissions and the space left")
            }
            DrillFailed::Child(_) => Failure::with_help(error, "the copy is no backup; look above"),
            DrillFailed::Missing(_) | DrillFailed::NoKeys => Failure::refused(
                error,
                "give the folder that this token's module uses as directories.tokendir",
            ),
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Failure {
        Failure::with_help(
            error,
            "look the return value up in the token vendor's manual",
        )
    }
}

pub(crate) fn backup_drill(arguments: &BackupDrill) -> Result<Outcome, Failure> {
    let BackupDrill {
        token,
        tokens,
        out,
        json,
    } = arguments;
    must_be_free(out)?;
    let expected = {
        let open = Modules::default().open(token)?;
        let manufacturer = open.summary().manufacturer;
        if manufacturer != SOFTHSM {
            return Err(DrillFailed::NotSoftHsm(manufacturer).into());
        }
        let fit = open.keys().into_iter().filter(|pair| pair.fitness.is_ok());
        fit.map(|pair| pair.id.to_string()).collect::<Vec<_>>()
    };
    if expected.is_empty() {
        return Err(DrillFailed::NoKeys.into());
    }
    copy_tokens(tokens, out)?;
    let proven = prove_copy(token, out)?;
    let missing = expected.iter().find(|id| !proven.keys.contains(id));
    if let Some(missing) = missing {
        return Err(DrillFailed::Missing(missing.clone()).into());
    }
    if *json {
        return print_json(&proven);
    }
    println!("token {}: copied to {}", proven.serial, out.display());
    for key in &proven.keys {
        println!("{key} signs in the copy");
    }
    Ok(Outcome::Done)
}

/// Run by [`backup_drill`] with `SOFTHSM2_CONF` set: SoftHSM reads it once, when it is initialised,
/// and a process cannot safely change its own environment.
pub(crate) fn prove(arguments: &Prove) -> Result<Outcome, Failure> {
    let token = Modules::default().open(&arguments.token)?;
    let mut keys = Vec::new();
    for pair in token.keys() {
        if pair.fitness.is_ok() {
            drill::prove(&token, &token.key(pair.id)?, UnixTime(unix_now()))?;
            keys.push(pair.id.to_string());
        }
    }
    let serial = token.summary().serial;
    print_json(&Proven { serial, keys })
}

fn copy_tokens(from: &Path, out: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DrillFailed::Copy { path, source }
    };
    private_folder(out).map_err(failed(out))?;
    let to = out.join(TOKENS);
    copy_folder(from, &to).map_err(failed(from))?;
    let folder = out.canonicalize().map_err(failed(out))?.join(TOKENS);
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        folder.display()
    );
    Ok(write_new_atomically(
        &out.join(CONF),
        conf.as_bytes(),
        Mode::Private,
    )?)
}

/// Links are left out: SoftHSM makes none, and one would lead out of the folder.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            let mut options = fs::File::options();
            let mut file = options
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&target)?;
            io::copy(&mut fs::File::open(entry.path())?, &mut file)?;
            file.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o700))
}

fn prove_copy(token: &Path, out: &Path) -> Result<Proven, Failure> {
    let failed = |error: io::Error| DrillFailed::Child(error.to_string());
    let program = std::env::current_exe().map_err(failed)?;
    let output = Command::new(program)
        .args(["token", "prove", "--token"])
        .arg(token)
        .env("SOFTHSM2_CONF", out.join(CONF))
        .output()
        .map_err(failed)?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(DrillFailed::Child(said()).into());
    }
    let proven = serde_json::from_slice(&output.stdout);
    Ok(proven.map_err(|error| DrillFailed::Child(error.to_string()))?)
}
