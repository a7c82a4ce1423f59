//! Threads that may block inside the module, behind a bounded queue.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::credential::{IssuerKey, SignCredentialError};
use crate::daemon::Clock;
use crate::public_key::VerifiedSignature;
use crate::token::Token;

/// Requests that may wait per signer thread; more are told that the daemon is busy.
const QUEUE_PER_THREAD: usize = 64;

/// Dropping it waits for the threads, so that the token is closed and the module finalised before
/// the process ends.
pub(super) struct Signers {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    deadline: Duration,
}

struct Job {
    key: IssuerKey,
    claims: Vec<u8>,
    expires: Instant,
    answer: oneshot::Sender<Result<VerifiedSignature, SignCredentialError>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueueError {
    #[error("too many requests are waiting")]
    Full,
    #[error("not signed before the deadline")]
    Deadline,
    #[error(transparent)]
    Sign(#[from] SignCredentialError),
}

impl Signers {
    pub(super) fn start(
        token: Arc<Token>,
        threads: usize,
        deadline: Duration,
        clock: Clock,
    ) -> std::io::Result<Signers> {
        let (queue, jobs) = sync_channel(threads * QUEUE_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut signers = Signers {
            queue: Some(queue),
            threads: Vec::new(),
            deadline,
        };
        for number in 0..threads {
            let (token, jobs) = (Arc::clone(&token), Arc::clone(&jobs));
            let thread = std::thread::Builder::new()
                .name(format!("signer-{number}"))
                .spawn(move || work(&token, &jobs, clock))?;
            signers.threads.push(thread);
        }
        Ok(signers)
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) async fn sign(
        &self,
        key: IssuerKey,
        claims: Vec<u8>,
    ) -> Result<VerifiedSignature, QueueError> {
        let (answer, answered) = oneshot::channel();
        let expires = Instant::now() + self.deadline;
        let queue = self
            .queue
            .as_ref()
            .expect("the queue is open until the signers are dropped");
        match queue.try_send(Job {
            key,
            claims,
            expires,
            answer,
        }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(QueueError::Full),
            Err(TrySendError::Disconnected(_)) => return Err(QueueError::Deadline),
        }
        match tokio::time::timeout(self.deadline, answered).await {
            Ok(Ok(result)) => Ok(result?),
            // The thread dropped the job because it had expired.
            Ok(Err(_)) | Err(_) => Err(QueueError::Deadline),
        }
    }
}

impl Drop for Signers {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a signer thread panicked");
            }
        }
    }
}

/// Ends when the queue is closed.
fn work(token: &Token, jobs: &Mutex<Receiver<Job>>, clock: Clock) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if Instant::now() >= job.expires || job.answer.is_closed() {
            continue;
        }
        let result = token.sign_credential(&job.key, &job.claims, clock());
        if job.answer.send(result).is_err() {
            tracing::warn!("a signature came after its deadline and was thrown away");
        }
    }
}
