//! `obol-load PLAN.json`: prints `ready`, waits for a line on standard input, runs the plan, prints
//! the report as one line of JSON.

use std::error::Error;
use std::process::ExitCode;

use obol_load::{Plan, drive};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: {error}\nhelp: obol-load PLAN.json; obol_load::Plan says what it holds"
            );
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("no plan is named")?;
    let plan: Plan = serde_json::from_slice(&std::fs::read(file)?)?;
    let report = drive(plan, || {
        println!("ready");
        let mut sign = String::new();
        // Whoever closes the pipe instead is gone; the report then goes nowhere either.
        std::io::stdin().read_line(&mut sign).ok();
    });
    let report = report.await?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
