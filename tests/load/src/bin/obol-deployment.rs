//! `obol-deployment FOLDER`: an issuer and its key daemon in an empty folder, for tests in other
//! languages. Prints `ready https://localhost:PORT`; `platform-tls.pem`, `platform.key` and
//! `access.pem` of the folder let a client in. Ends when standard input closes.

use std::error::Error;
use std::io::{Read, stdin};
use std::path::Path;
use std::process::ExitCode;

use obol_load::{Deployment, Settings};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\nhelp: obol-deployment FOLDER, which is empty or missing");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("no folder is named")?;
    let settings = Settings {
        sessions: 4,
        platforms: &[],
        issuer_options: "",
    };
    let mut deployment = Deployment::prepare(Path::new(&folder), &settings)?;
    deployment.start_kms()?;
    deployment.start_issuer("issuer.pem")?;
    println!(
        "ready https://localhost:{}",
        deployment.world().ports.issuer
    );
    stdin().read_to_end(&mut Vec::new())?;
    deployment.stop()?;
    Ok(())
}
