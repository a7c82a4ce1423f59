//! The daemon.

pub(crate) mod metrics;
mod witnessing;

use std::path::Path;

use obol_console::{Outcome, StopOnStdin, init_logging, unix_now, until_stopped};
use obol_credential::UnixTime;
use obol_kms::daemon::{Daemon, DaemonConfig, TokenPlace};
use obol_kms::worker::WorkerCommand;

use crate::arguments::{CheckConfig, Serve};
use crate::failure::Failure;

use witnessing::Witnessing;

pub(crate) fn serve(arguments: &Serve) -> Result<Outcome, Failure> {
    init_logging();
    let config = DaemonConfig::load(&arguments.config)?;
    let stop = if arguments.until_stdin_closes {
        StopOnStdin::Close
    } else {
        StopOnStdin::Ignore
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::with_help(error, "the system gives no threads"))?;
    runtime.block_on(async {
        let place = TokenPlace::Worker(worker_command()?);
        let daemon = Daemon::start(&config, place, || UnixTime(unix_now()))?;
        let serving = match &config.metrics {
            Some(address) => {
                let listener = metrics::bind(address).await?;
                Some(tokio::spawn(metrics::serve(listener, daemon.monitor())))
            }
            None => None,
        };
        let witnessing = match &config.audit.witness {
            Some(witness) => {
                let witnessing = Witnessing::new(witness, daemon.engine())?;
                Some(tokio::spawn(witnessing.keep_witnessed()))
            }
            None => None,
        };
        println!("ready unix:{}", daemon.path().display());
        let stopped = async {
            if let Err(error) = until_stopped(stop).await {
                tracing::error!(%error, "signals cannot be received; stopping");
            }
        };
        daemon.serve(stopped).await;
        for task in serving.into_iter().chain(witnessing) {
            task.abort();
            // It has the daemon's parts, which end with it.
            task.await.ok();
        }
        Ok(Outcome::Done)
    })
}

/// Prints what `serve` would do by.
pub(crate) fn check_config(arguments: &CheckConfig) -> Result<Outcome, Failure> {
    println!("{:#?}", DaemonConfig::load(&arguments.config)?);
    Ok(Outcome::Done)
}

/// This very program, even when its file was replaced meanwhile: both ends speak one protocol.
fn worker_command() -> Result<WorkerCommand, Failure> {
    let running = Path::new("/proc/self/exe");
    let program = if running.exists() {
        running.to_path_buf()
    } else {
        std::env::current_exe()
            .map_err(|error| Failure::with_help(error, "start it by its full path"))?
    };
    // The path of the token file follows.
    let arguments = ["worker".into(), "--token".into()].into();
    Ok(WorkerCommand { program, arguments })
}
