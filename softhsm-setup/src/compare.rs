//! A second run: is what is there what the plan says? Nothing is written.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use obol_console::read_limited;
use obol_kms::{Module, TokenConfig, TokenSummary};

use crate::failure::SetupError;
use crate::plan::Plan;
use crate::setup::{CONF, conf_text};

const TOKEN_FILE: &str = ".token.toml";
/// Largest softhsm2.conf, in bytes.
const CONF_MAX: usize = 16 * 1024;

/// Has a process with SOFTHSM2_CONF set compare `dir` with the plan, in this one's place.
pub(crate) fn in_own_process(plan: &Path, dir: &Path, module: &Path) -> SetupError {
    let failed = |source| SetupError::Folder {
        path: dir.to_path_buf(),
        source,
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    // It comes back only when it could not start.
    let error = Command::new(program)
        .arg(plan)
        .arg("--dir")
        .arg(dir)
        .arg("--module")
        .arg(module)
        .arg("--compare")
        .env("SOFTHSM2_CONF", dir.join(CONF))
        .exec();
    failed(error)
}

/// Compares the configuration, the token files and the tokens themselves with the plan.
pub(crate) fn all(plan: &Plan, dir: &Path, module: &Path) -> Result<(), SetupError> {
    let planned: BTreeSet<&str> = plan
        .tokens
        .iter()
        .map(|token| token.name.as_str())
        .collect();
    let conf = dir.join(CONF);
    if read_limited(&conf, CONF_MAX)? != conf_text(dir)?.as_bytes() {
        return Err(differs(&conf, "is not what this setup writes".to_owned()));
    }
    let files = token_files(dir)?;
    same_names(
        dir,
        "token file",
        &planned,
        files.iter().map(String::as_str),
    )?;
    let module = Module::load(module)?;
    let found = module.tokens().map_err(SetupError::Tokens)?;
    let labels = found.iter().map(|token| token.label.as_str());
    same_names(&dir.join("tokens"), "token", &planned, labels)?;
    planned
        .iter()
        .try_for_each(|name| one(&module, &found, name, dir))
}

/// The token must be the one that its file names, and its PIN must lie beside it.
fn one(module: &Module, found: &[TokenSummary], name: &str, dir: &Path) -> Result<(), SetupError> {
    let file = dir.join(format!("{name}{TOKEN_FILE}"));
    let config = TokenConfig::load(&file).map_err(|error| differs(&file, error.to_string()))?;
    if config.label != name {
        let reason = format!("names the token {:?}, planned is {name:?}", config.label);
        return Err(differs(&file, reason));
    }
    let same_module = config.module.canonicalize();
    if !same_module.is_ok_and(|path| path == module.path()) {
        let (has, wanted) = (config.module.display(), module.path().display());
        return Err(differs(
            &file,
            format!("names the module {has}, not {wanted}"),
        ));
    }
    if !found
        .iter()
        .any(|token| token.label == name && token.serial == config.serial)
    {
        let reason = format!(
            "names serial {:?}, which no token {name:?} has",
            config.serial
        );
        return Err(differs(&file, reason));
    }
    // No login: SoftHSM writes to a token whenever it is logged in to.
    match config.read_pin() {
        Ok(_) => Ok(()),
        Err(error) => Err(differs(&file, format!("has no PIN: {error}"))),
    }
}

fn same_names<'a>(
    place: &Path,
    what: &str,
    planned: &BTreeSet<&str>,
    found: impl Iterator<Item = &'a str>,
) -> Result<(), SetupError> {
    let mut missing = planned.clone();
    for name in found {
        if !missing.remove(name) {
            let again = if planned.contains(name) {
                "another"
            } else {
                "an unplanned"
            };
            return Err(differs(place, format!("has {again} {what} {name:?}")));
        }
    }
    match missing.first() {
        Some(name) => Err(differs(place, format!("has no {what} {name:?}"))),
        None => Ok(()),
    }
}

fn token_files(dir: &Path) -> Result<Vec<String>, SetupError> {
    let failed = |source| SetupError::Folder {
        path: dir.to_path_buf(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(TOKEN_FILE));
        names.extend(stem.map(str::to_owned));
    }
    Ok(names)
}

fn differs(path: &Path, reason: String) -> SetupError {
    SetupError::Differs {
        path: PathBuf::from(path),
        reason,
    }
}
