//! First half: folders and SoftHSM's configuration, all of it beside the final place, so that a
//! failure leaves nothing and a success is whole.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use obol_console::{Mode, write_new_atomically};

use crate::failure::SetupError;
use crate::plan::Plan;

pub(crate) const CONF: &str = "softhsm2.conf";
const TOKENS: &str = "tokens";
const STAGING: &str = ".setup";

/// The folder, if it holds a whole setup: its configuration is written last.
pub(crate) fn whole(dir: &Path) -> Option<PathBuf> {
    let dir = dir.canonicalize().ok()?;
    dir.join(CONF).exists().then_some(dir)
}

/// Makes the tokens of `plan` in `dir` and returns the path of its `softhsm2.conf`.
pub(crate) fn make(
    plan_path: &Path,
    plan: &Plan,
    dir: &Path,
    module: &Path,
) -> Result<PathBuf, SetupError> {
    let folder = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SetupError::Folder { path, source }
    };
    fs::create_dir_all(dir).map_err(folder(dir))?;
    let dir = dir.canonicalize().map_err(folder(dir))?;
    let names = final_names(plan);
    if let Some(taken) = names
        .iter()
        .map(|name| dir.join(name))
        .find(|path| path.exists())
    {
        return Err(SetupError::Exists(taken));
    }
    // Whoever creates the staging folder owns the setup; a second run at the same time is refused.
    let staging = dir.join(STAGING);
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&staging)
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => SetupError::Exists(staging.clone()),
            _ => SetupError::Folder {
                path: staging.clone(),
                source,
            },
        })?;
    let made = fill(plan_path, &staging, module)
        .and_then(|()| move_into_place(&names, &staging, &dir))
        .and_then(|()| conf_text(&dir))
        .and_then(|text| {
            // Written last: its presence says that the setup is whole.
            Ok(write_new_atomically(
                &dir.join(CONF),
                text.as_bytes(),
                Mode::Public,
            )?)
        });
    fs::remove_dir_all(&staging).map_err(folder(&staging))?;
    made.map(|()| dir.join(CONF))
}

fn fill(plan_path: &Path, staging: &Path, module: &Path) -> Result<(), SetupError> {
    let folder = |source| SetupError::Folder {
        path: staging.to_path_buf(),
        source,
    };
    let tokens = staging.join(TOKENS);
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&tokens)
        .map_err(folder)?;
    fs::set_permissions(&tokens, PermissionsExt::from_mode(0o700)).map_err(folder)?;
    let conf = staging.join(CONF);
    write_new_atomically(&conf, conf_text(staging)?.as_bytes(), Mode::Public)?;
    // SoftHSM reads SOFTHSM2_CONF inside C_Initialize, and a process cannot safely change its own
    // environment, so a second process with the variable set does the rest.
    let program = std::env::current_exe().map_err(folder)?;
    let status = Command::new(program)
        .arg(plan_path)
        .arg("--dir")
        .arg(staging)
        .arg("--module")
        .arg(module)
        .arg("--initialise")
        .env("SOFTHSM2_CONF", &conf)
        .status()
        .map_err(folder)?;
    if status.success() {
        Ok(())
    } else {
        Err(SetupError::Child(status.to_string()))
    }
}

fn move_into_place(names: &[String], staging: &Path, dir: &Path) -> Result<(), SetupError> {
    for name in names.iter().filter(|name| *name != CONF) {
        fs::rename(staging.join(name), dir.join(name)).map_err(|source| SetupError::Folder {
            path: dir.join(name),
            source,
        })?;
    }
    Ok(())
}

fn final_names(plan: &Plan) -> Vec<String> {
    let mut names = vec![CONF.to_owned(), TOKENS.to_owned()];
    for token in &plan.tokens {
        for ending in ["pin", "so-pin", "token.toml"] {
            names.push(format!("{}.{ending}", token.name));
        }
    }
    names
}

pub(crate) fn conf_text(dir: &Path) -> Result<String, SetupError> {
    let tokens = dir.join(TOKENS);
    let plain = |text: &&str| !text.contains(['\n', '\r', '#']);
    let path = tokens
        .to_str()
        .filter(plain)
        .ok_or_else(|| SetupError::PathText(tokens.clone()))?;
    Ok(format!(
        "directories.tokendir = {path}\nobjectstore.backend = file\nlog.level = ERROR\n\
         slots.removable = false\n"
    ))
}
