#![doc = include_str!("../README.md")]

mod failure;
mod initialise;
mod module_path;
mod plan;
mod setup;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use obol_console::Outcome;

/// Makes SoftHSM tokens for development and tests from a plan file.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Plan: `tokens = [{ name = "root" }, ...]`
    plan: PathBuf,
    /// Folder for softhsm2.conf, the tokens, their PINs and NAME.token.toml; made if missing
    #[arg(long)]
    dir: PathBuf,
    /// SoftHSM's library, if it is in none of the usual places
    #[arg(long)]
    module: Option<PathBuf>,
    /// The second half of the work, run by the first with SOFTHSM2_CONF set
    #[arg(long, hide = true)]
    initialise: bool,
}

fn main() -> ExitCode {
    obol_console::run(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> miette::Result<Outcome> {
    let plan = plan::Plan::load(&arguments.plan)?;
    let module = module_path::find(arguments.module.as_deref())?;
    if arguments.initialise {
        initialise::all(&plan, &arguments.dir, &module)?;
    } else {
        let conf = setup::make(&arguments.plan, &plan, &arguments.dir, &module)?;
        println!("export SOFTHSM2_CONF={}", conf.display());
    }
    Ok(Outcome::Done)
}
