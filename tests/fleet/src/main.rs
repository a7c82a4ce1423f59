//! A fleet's table, for one seed.

use std::process::ExitCode;

use clap::Parser;
use obol_fleet::{Course, FLEET_MAX, Scenario};

/// How long a revocation takes to the last terminal of a fleet, in virtual time.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many terminals
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(FLEET_MAX)))]
    terminals: u32,
    /// All chance comes from here
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let Arguments { terminals, seed } = Arguments::parse();
    let report = Course::publish().run(Scenario { terminals, seed });
    print!("{report}");
    if report.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
