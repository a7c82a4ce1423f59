//! `obol-demo`: the whole line, from the key ceremony to the ledger, with real parts.

mod line;
mod steps;

use std::{
    fs,
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
    let world = match result.into_diagnostic().and_then(|ran| ran) {
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

fn run(dir: &Path) -> miette::Result<World> {
    let world = prepare(dir)?;
    let mut steps = Steps::new();
    Ok(line::ride(world, &mut steps)?)
}

fn prepare(dir: &Path) -> Result<World, DemoError> {
    let failed = |source| DemoError::Folder {
        dir: dir.to_owned(),
        source,
    };
    if dir.join(MARK).exists() {
        fs::remove_dir_all(dir).map_err(failed)?;
    }
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(DemoError::Foreign {
            dir: dir.to_owned(),
        });
    }
    fs::create_dir_all(dir).map_err(failed)?;
    let world = World::new(dir, Ports::preferred()).map_err(|source| DemoError::Step {
        step: "an empty folder",
        source,
        logs: dir.to_owned(),
    })?;
    fs::write(dir.join(MARK), "").map_err(failed)?;
    Ok(world)
}

async fn wait(world: &World) -> std::io::Result<()> {
    let folder = world.folder().display();
    eprintln!("\nEverything still runs; Ctrl-C ends it. In another shell:");
    eprintln!("  cd {folder}");
    eprintln!("  ../debug/obol-wallet --dir phone-ada show");
    eprintln!("  ../debug/obol-pos --dir bus-1 journal show");
    eprintln!("  ../debug/obol-platform trial-balance --config platform.toml");
    until_stopped(StopOnStdin::Ignore).await
}
