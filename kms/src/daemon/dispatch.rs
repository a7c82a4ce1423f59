//! Threads that may block, behind a bounded queue that admits only what can be done in time.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use obol_kms_policy::Client;
use tokio::sync::oneshot;

use crate::engine::{Engine, EngineError, Request, Signed};

/// Requests that may wait per thread; more are told that the daemon is busy.
const QUEUE_PER_THREAD: usize = 64;
/// Threads per session of the token: one of them waits for its call while the others parse, verify
/// or share a write to the disk.
const THREADS_PER_SESSION: usize = 4;
/// Weight of the newest request in the running mean of service times: one part in eight.
const MEAN_PARTS: u32 = 8;

/// The queue and the threads of one token: a token that hangs keeps no other waiting. Dropping it waits for the threads, so that the token is closed and the module finalised before
/// the process ends.
pub(super) struct Dispatch {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    threads: u32,
}

struct State {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Running mean of the time that a thread spends on a request.
    service: Duration,
}

struct Job {
    request: Request,
    client: Client,
    deadline: Instant,
    answer: oneshot::Sender<Result<Signed, EngineError>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DispatchError {
    #[error("{0} requests are waiting, which is the limit")]
    Full(usize),
    #[error("the queue takes {expected_ms} ms, which is longer than the deadline allows")]
    TooLate { expected_ms: u128 },
    #[error("not signed before the deadline")]
    Deadline,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Dispatch {
    pub(super) fn start(engine: &Arc<Engine>, sessions: usize) -> std::io::Result<Dispatch> {
        let count = sessions * THREADS_PER_SESSION;
        let queue = Arc::new(Queue {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                closed: false,
                service: Duration::ZERO,
            }),
            changed: Condvar::new(),
            threads: u32::try_from(count).unwrap_or(u32::MAX),
        });
        let mut dispatch = Dispatch {
            queue: Arc::clone(&queue),
            threads: Vec::new(),
        };
        for number in 0..count {
            let (queue, engine) = (Arc::clone(&queue), Arc::clone(engine));
            let thread = std::thread::Builder::new()
                .name(format!("engine-{number}"))
                .spawn(move || queue.work(&engine))?;
            dispatch.threads.push(thread);
        }
        Ok(dispatch)
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    pub(super) async fn sign(
        &self,
        request: Request,
        client: Client,
        deadline: Instant,
    ) -> Result<Signed, DispatchError> {
        let (answer, answered) = oneshot::channel();
        self.queue.admit(Job {
            request,
            client,
            deadline,
            answer,
        })?;
        match tokio::time::timeout_at(deadline.into(), answered).await {
            Ok(Ok(result)) => Ok(result?),
            // The thread dropped the job because it had expired.
            Ok(Err(_)) | Err(_) => Err(DispatchError::Deadline),
        }
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an engine thread panicked");
            }
        }
    }
}

impl Queue {
    /// Shed early: a caller that would wait in vain is told at once, while it can go elsewhere.
    fn admit(&self, job: Job) -> Result<(), DispatchError> {
        let mut state = self.lock();
        let waiting = state.jobs.len();
        if waiting >= self.threads as usize * QUEUE_PER_THREAD {
            return Err(DispatchError::Full(waiting));
        }
        let ahead = u32::try_from(waiting).unwrap_or(u32::MAX);
        let expected = state.service.saturating_mul(ahead) / self.threads;
        if expected > job.deadline.saturating_duration_since(Instant::now()) {
            let expected_ms = expected.as_millis();
            return Err(DispatchError::TooLate { expected_ms });
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Ends when the queue is closed and empty.
    fn work(&self, engine: &Engine) {
        while let Some(job) = self.next() {
            if Instant::now() >= job.deadline || job.answer.is_closed() {
                continue;
            }
            let begun = Instant::now();
            let result = engine.sign(&job.request, &job.client, job.deadline);
            self.learn(begun.elapsed());
            if job.answer.send(result).is_err() {
                tracing::warn!("an answer came after its deadline and was thrown away");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| state.jobs.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.jobs.pop_front()
    }

    fn learn(&self, took: Duration) {
        let mut state = self.lock();
        state.service = (state.service * (MEAN_PARTS - 1) + took) / MEAN_PARTS;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use obol_kms_client::SpkiId;
    use obol_kms_policy::Role;
    use obol_kms_registry::PayloadType;

    fn queue(service: Duration) -> Queue {
        Queue {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                closed: false,
                service,
            }),
            changed: Condvar::new(),
            threads: 2,
        }
    }

    fn job(patience: Duration) -> Job {
        Job {
            request: Request {
                key: SpkiId([0; 32]),
                payload_type: PayloadType::CredentialClaims,
                payload: Vec::new(),
            },
            client: Client::new(Role::Issuer, "uid:1").unwrap(),
            deadline: Instant::now() + patience,
            answer: oneshot::channel().0,
        }
    }

    #[test]
    fn a_request_that_would_wait_longer_than_its_deadline_is_shed_at_once() {
        let queue = queue(Duration::from_millis(100));
        let patient = Duration::from_secs(60);
        for _ in 0..10 {
            queue.admit(job(patient)).unwrap();
        }
        let shed = queue.admit(job(Duration::from_millis(300))).unwrap_err();
        assert!(matches!(shed, DispatchError::TooLate { expected_ms: 500 }));
        queue.admit(job(Duration::from_millis(900))).unwrap();
    }

    #[test]
    fn an_empty_queue_admits_even_when_the_last_requests_were_slow() {
        let queue = queue(Duration::from_secs(60));
        queue.admit(job(Duration::from_millis(100))).unwrap();
    }

    #[test]
    fn the_queue_is_bounded() {
        let queue = queue(Duration::ZERO);
        for _ in 0..2 * QUEUE_PER_THREAD {
            queue.admit(job(Duration::from_secs(60))).unwrap();
        }
        let full = queue.admit(job(Duration::from_secs(60))).unwrap_err();
        assert!(matches!(full, DispatchError::Full(n) if n == 2 * QUEUE_PER_THREAD));
    }
}
