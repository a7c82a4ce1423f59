use std::io::{self, Read};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// What the end of standard input means to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOnStdin {
    /// Stop: whoever started the service holds the other end of the pipe, and is gone.
    Close,
    /// Nothing: a service manager or a terminal started it.
    Ignore,
}

/// From the flag `--until-stdin-closes`.
impl From<bool> for StopOnStdin {
    fn from(until_stdin_closes: bool) -> Self {
        if until_stdin_closes {
            Self::Close
        } else {
            Self::Ignore
        }
    }
}

/// Returns on SIGINT or SIGTERM, or at the end of standard input when that is asked for.
///
/// # Errors
/// When the process cannot install signal handlers.
pub async fn until_stopped(stdin: StopOnStdin) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let closed = async {
        match stdin {
            StopOnStdin::Close => stdin_closed().await,
            StopOnStdin::Ignore => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = closed => {}
    }
    Ok(())
}

/// A thread of its own: tokio's stdin would keep the runtime from shutting down while the read
/// blocks.
async fn stdin_closed() {
    let (sender, receiver) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut chunk = [0; 256];
        let mut stdin = io::stdin().lock();
        while !matches!(stdin.read(&mut chunk), Ok(0) | Err(_)) {}
        drop(sender);
    });
    // The sender is only ever dropped, so an error is the message.
    receiver.await.ok();
}
