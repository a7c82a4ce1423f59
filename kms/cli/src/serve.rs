//! The daemon.

use obol_console::{Outcome, StopOnStdin, init_logging, unix_now, until_stopped};
use obol_credential::UnixTime;
use obol_kms::daemon::{Daemon, DaemonConfig};

use crate::arguments::Serve;
use crate::failure::Failure;

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
        let daemon = Daemon::start(&config, || UnixTime(unix_now()))?;
        println!("ready unix:{}", daemon.path().display());
        let stopped = async {
            if let Err(error) = until_stopped(stop).await {
                tracing::error!(%error, "signals cannot be received; stopping");
            }
        };
        daemon.serve(stopped).await;
        Ok(Outcome::Done)
    })
}
