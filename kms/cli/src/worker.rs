//! The process that holds a token for the daemon.

use obol_console::{Outcome, init_logging};
use obol_kms::worker::{inherited_socket, run};

use crate::arguments::Worker;
use crate::failure::Failure;

pub(crate) fn work(arguments: &Worker) -> Result<Outcome, Failure> {
    init_logging();
    let socket = inherited_socket().map_err(|error| {
        Failure::with_help(
            error,
            "`obol-kms serve` starts workers; it is no command for people",
        )
    })?;
    run(&arguments.token, socket)
        .map_err(|error| Failure::with_help(error, "the daemon's log tells what happened"))?;
    Ok(Outcome::Done)
}
