#![doc = include_str!("../README.md")]

mod compare;
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
    /// The same for a folder that holds a setup
    #[arg(long, hide = true, conflicts_with = "initialise")]
    compare: bool,
}

fn main() -> ExitCode {
    obol_console::run(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> miette::Result<Outcome> {
    let plan = plan::Plan::load(&arguments.plan)?;
    let module = module_path::find(arguments.module.as_deref())?;
    let dir = &arguments.dir;
    if arguments.initialise {
        initialise::all(&plan, dir, &module)?;
    } else if arguments.compare {
        compare::all(&plan, dir, &module)?;
        let names: Vec<_> = plan
            .tokens
            .iter()
            .map(|token| token.name.as_str())
            .collect();
        eprintln!(
            "these tokens are there already and left as they are: {}",
            names.join(", ")
        );
        println!("export SOFTHSM2_CONF={}", dir.join(setup::CONF).display());
    } else if let Some(whole) = setup::whole(dir) {
        return Err(compare::in_own_process(&arguments.plan, &whole, &module).into());
    } else {
        let conf = setup::make(&arguments.plan, &plan, dir, &module)?;
        println!("export SOFTHSM2_CONF={}", conf.display());
    }
    Ok(Outcome::Done)
}
