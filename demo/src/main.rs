//! `obol-demo`: the whole line, from the key ceremony to the ledger, with real parts.

mod line;
mod steps;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Outcome, StopOnStdin, until_stopped};
use obol_world::{Ports, World, WorldError};
use thiserror::Error;

use crate::steps::Steps;

/// Left in the folder of a demo, so that the next one knows that it may start over there.
const MARK: &str = "made-by-obol-demo";

/// Runs the whole line on loopback: keys, services, a passenger, two buses, the books.
#[derive(Parser)]
#[command(name = "obol-demo", version)]
struct Arguments {
    /// End after the last step, with exit code 0 only if every step held
    #[arg(long)]
    once: bool,
    /// Folder for everything the demo makes; an earlier demo's folder is started over
    #[arg(long, default_value = "target/demo")]
    dir: PathBuf,
}

#[derive(Debug, Error, Diagnostic)]
enum DemoError {
    #[error("{} is not an earlier demo's folder", dir.display())]
    #[diagnostic(help("give an empty folder, or none: --dir"))]
    Foreign { dir: PathBuf },
    #[error("a demo is running in {}", dir.display())]
    #[diagnostic(help("end it with Ctrl-C, or give this one another --dir"))]
    Running { dir: PathBuf },
    #[error("the folder {} cannot be prepared", dir.display())]
    #[diagnostic(help("check the path and the permissions, or give another --dir"))]
    Folder {
        dir: PathBuf,
        source: std::io::Error,
    },
    #[error("step {step:?} did not hold: {source}")]
    #[diagnostic(help("the services' logs lie in {}", logs.display()))]
    Step {
        step: &'static str,
        source: WorldError,
        logs: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let dir = arguments.dir.clone();
    let ran = tokio::task::spawn_blocking(move || run(&dir));
    // Ctrl-C ends the demo at once; every service ends with it, since its standard input closes.
    let result = tokio::select! {
        stopped = until_stopped(StopOnStdin::Ignore) => {
            let code = u8::from(stopped.is_err());
            eprintln!("stopped");
            std::process::exit((130 + code).into());
        }
        ran = ran => ran,
    };
    let (world, _held) = match result.into_diagnostic().and_then(|ran| ran) {
        Ok(world) => world,
        Err(failure) => return obol_console::run(Err(failure)),
    };
    let stopped = if arguments.once {
        Ok(())
    } else {
        wait(&world).await
    };
    drop(world);
    obol_console::run(stopped.into_diagnostic().map(|()| Outcome::Done))
}

fn run(dir: &Path) -> miette::Result<(World, Held)> {
    let (world, held) = prepare(dir)?;
    let mut steps = Steps::new();
    Ok((line::ride(world, &mut steps)?, held))
}

/// The folder of a running demo. Another one cannot have it until this is dropped, or its process
/// is gone.
struct Held {
    _folder: File,
}

fn prepare(dir: &Path) -> Result<(World, Held), DemoError> {
    let failed = |source| DemoError::Folder {
        dir: dir.to_owned(),
        source,
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let held = hold(dir)?;
    if dir.join(MARK).exists() {
        clear(dir).map_err(failed)?;
    } else if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(DemoError::Foreign {
            dir: dir.to_owned(),
        });
    }
    let world = World::new(dir, Ports::preferred()).map_err(|source| DemoError::Step {
        step: "an empty folder",
        source,
        logs: dir.to_owned(),
    })?;
    fs::write(dir.join(MARK), "").map_err(failed)?;
    Ok((world, held))
}

/// Locks the folder itself: a file in it would be gone while the folder is started over.
fn hold(dir: &Path) -> Result<Held, DemoError> {
    let failed = |source| DemoError::Folder {
        dir: dir.to_owned(),
        source,
    };
    let folder = File::open(dir).map_err(failed)?;
    match folder.try_lock() {
        Ok(()) => Ok(Held { _folder: folder }),
        Err(TryLockError::WouldBlock) => Err(DemoError::Running {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Empties the folder, the mark last: a demo that is stopped here can still be started over.
fn clear(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == MARK {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(dir.join(MARK))
}

async fn wait(world: &World) -> std::io::Result<()> {
    let folder = world.folder().display();
    eprintln!("\nEverything still runs; Ctrl-C ends it. In another shell:");
    eprintln!("  cd {folder}");
    eprintln!("  ../debug/obol-wallet --dir phone-ada show");
    eprintln!("  ../debug/obol-pos --dir bus-1 journal show");
    eprintln!("  ../debug/obol-kms ceremony verify ceremonies/*/bundle --roster HASH  # as above");
    eprintln!("  ../debug/obol-platform trial-balance --config platform.toml");
    until_stopped(StopOnStdin::Ignore).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_demos_folder_is_not_started_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("demo");
        let (world, held) = prepare(&dir).expect("the first");
        fs::write(dir.join("kept"), "books").expect("written");
        let refused = prepare(&dir).map(drop).expect_err("the second");
        let said = format!("a demo is running in {}", dir.display());
        assert_eq!(refused.to_string(), said);
        assert!(dir.join("kept").exists());

        drop((world, held));
        prepare(&dir).expect("the first has ended");
        assert!(!dir.join("kept").exists());
    }

    #[test]
    fn a_folder_that_no_demo_made_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("letter"), "dear").expect("written");
        let refused = prepare(folder.path()).map(drop).expect_err("occupied");
        assert!(matches!(refused, DemoError::Foreign { .. }), "{refused}");
        assert!(folder.path().join("letter").exists());
    }
}
