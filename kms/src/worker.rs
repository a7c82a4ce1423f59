//! The vendor's module in a process of its own.
//!
//! ```text
//!   daemon                         socketpair, framed CBOR            obol-kms worker
//!  ┌─────────────────────────┐    Sign { id, key, digest } ─▶    ┌──────────────────────────┐
//!  │ callers ─▶ Link ─ window│                                   │ a thread per session      │
//!  │            ▲  pending   │    ◀─ Signed | Failed { id }      │   ─▶ Token ─▶ module      │
//!  │            │            │    ◀─ Beat { health, errors }     │ tend: keep-alive, repair  │
//!  │ supervisor: reads, kills│                                   │ PIN read from pin_file    │
//!  │   and starts again      │                                   └──────────────────────────┘
//!  └─────────────────────────┘
//! ```
//!
//! A PKCS#11 call cannot be cancelled, and a vendor's bug takes its process along. So the module is
//! loaded here only: a hung call ends with this process, and the next one starts in its place. No
//! more requests are under way than the token has sessions, so one that is not answered within
//! `call_limit` is stuck inside the module and not in a queue.

mod child;
pub(crate) mod fuzzing;
mod link;
mod supervisor;
mod wire;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use obol_kms_client::SpkiId;

use crate::digest::Digest;
use crate::signer::{Signer, SignerError, TokenStatus};
pub use child::{WorkerError, run};
use link::Link;
pub use wire::StartFailure;

/// How a worker process is started: a program that calls [`run`] with its standard input.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program; `obol-kms` starts itself.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// What a worker has to hold and how long it may take.
#[derive(Debug, Clone)]
pub struct WorkerDuty {
    /// Label of the token, for logs.
    pub label: String,
    /// Serial number of the token, as in its token file.
    pub serial: String,
    /// Sessions of the token, and requests under way at a time: 1 to 16.
    pub sessions: usize,
    /// Keys without which the token is another one.
    pub demanded: Vec<SpkiId>,
    /// A call that takes longer is hung: its process is ended.
    pub call_limit: Duration,
}

/// A token in a worker process that is watched and started again.
pub struct Worker {
    link: Arc<Link>,
    supervisor: Option<JoinHandle<()>>,
}

/// Why the first worker process did not come up.
#[derive(Debug, thiserror::Error)]
pub enum WorkerStartError {
    /// The program could not be run.
    #[error("the worker process {} cannot be started", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It ran and could not open the token.
    #[error("{reason}")]
    NotOpened {
        /// What kind of trouble.
        kind: StartFailure,
        /// Its words.
        reason: String,
    },
    /// It ended or said something else than it should.
    #[error("the worker process did not become ready: {0}")]
    Broken(String),
}

impl Worker {
    /// Starts the worker, waits until its token is open, and watches over it from then on.
    ///
    /// # Errors
    /// [`WorkerStartError`]: the first start is the operator's; later ones are repeated.
    pub fn start(command: WorkerCommand, duty: WorkerDuty) -> Result<Worker, WorkerStartError> {
        let link = Arc::new(Link::new(&duty));
        let first = supervisor::start(&command, &duty)?;
        let watched = Arc::clone(&link);
        let program = command.program.clone();
        let supervisor = std::thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || supervisor::supervise(&watched, &command, &duty, first))
            .map_err(|source| WorkerStartError::Spawn { program, source })?;
        Ok(Worker {
            link,
            supervisor: Some(supervisor),
        })
    }
}

impl Signer for Worker {
    fn sign(
        &self,
        key: SpkiId,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Vec<u8>, SignerError> {
        self.link.sign(key, digest, deadline)
    }

    fn status(&self) -> TokenStatus {
        self.link.status()
    }

    fn tend(&self) {
        // The worker tends its own token.
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.link.stop();
        if let Some(supervisor) = self.supervisor.take()
            && supervisor.join().is_err()
        {
            tracing::error!("the supervisor of a worker panicked");
        }
    }
}

/// The end of the socketpair that a daemon put in the place of this process's standard input.
///
/// # Errors
/// Standard input is no socket: nobody but the daemon starts a worker.
pub fn inherited_socket() -> std::io::Result<UnixStream> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr()?;
    Ok(socket)
}

fn spawn(command: &WorkerCommand) -> std::io::Result<(std::process::Child, UnixStream)> {
    use std::os::unix::process::CommandExt;
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // A Ctrl-C in the daemon's terminal is the daemon's: it ends the worker in order.
        .process_group(0)
        .spawn()?;
    Ok((child, ours))
}
