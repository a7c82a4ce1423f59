//! The daemon's end: requests under way, and who may send the next.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use obol_kms_client::SpkiId;

use crate::digest::Digest;
use crate::error::ErrorClass;
use crate::gate::Health;
use crate::signer::{SignerError, TokenStatus};
use crate::worker::WorkerDuty;
use crate::worker::wire::{self, FromWorker, ToWorker, WireDigest, WireFailure, WireHealth};

/// Tries per request: signing is safe to repeat, and one worker may die under it.
const TRIES: u32 = 2;

pub(super) struct Link {
    state: Mutex<State>,
    changed: Condvar,
    window: usize,
    call_limit: Duration,
}

struct State {
    phase: Phase,
    under_way: HashMap<u64, UnderWay>,
    next_id: u64,
    status: TokenStatus,
}

enum Phase {
    Up(Arc<Mutex<UnixStream>>),
    /// The next start is due at the given time; none is under way before.
    Down {
        reason: String,
        next: Instant,
    },
    Sealed {
        reason: String,
    },
    Stopped,
}

struct UnderWay {
    sent: Instant,
    answer: SyncSender<Result<Vec<u8>, SignerError>>,
}

/// The worker died before it answered.
struct Died;

impl Link {
    pub(super) fn new(duty: &WorkerDuty) -> Link {
        let reason = "the worker process is starting".to_owned();
        let next = Instant::now();
        Link {
            state: Mutex::new(State {
                phase: Phase::Down { reason, next },
                under_way: HashMap::new(),
                next_id: 0,
                status: TokenStatus {
                    label: duty.label.clone(),
                    serial: duty.serial.clone(),
                    health: Health::Ready,
                    generation: 1,
                    restarts: 0,
                    errors: [0; ErrorClass::ALL.len()],
                },
            }),
            changed: Condvar::new(),
            window: duty.sessions,
            call_limit: duty.call_limit,
        }
    }

    pub(super) fn sign(
        &self,
        key: SpkiId,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Vec<u8>, SignerError> {
        for _ in 0..TRIES {
            if let Ok(answer) = self.try_to_sign(key, digest, deadline) {
                return answer;
            }
        }
        Err(SignerError::Away(format!(
            "{TRIES} worker processes died before they signed"
        )))
    }

    fn try_to_sign(
        &self,
        key: SpkiId,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Result<Vec<u8>, SignerError>, Died> {
        let (answer, answered) = sync_channel(1);
        let (stream, id) = match self.begin(answer, deadline) {
            Ok(begun) => begun,
            Err(error) => return Ok(Err(error)),
        };
        // A worker that is waiting for its token answers before it could be taken for hung.
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.min(self.call_limit * 3 / 4);
        let request = ToWorker::Sign {
            id,
            key: key.0.into(),
            digest: WireDigest::of(digest),
            left_us: u64::try_from(left.as_micros()).unwrap_or(u64::MAX),
        };
        let sent = wire::write(
            &mut *stream.lock().unwrap_or_else(PoisonError::into_inner),
            &request,
        );
        if let Err(error) = sent {
            // The supervisor reads the same from the other direction and clears up.
            tracing::debug!(%error, "a request did not reach the worker");
        }
        match answered.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Disconnected) => Err(Died),
            // The call keeps its place in the window until it is answered or its process ends.
            Err(RecvTimeoutError::Timeout) => Ok(Err(SignerError::Timeout(
                "the token has not answered".to_owned(),
            ))),
        }
    }

    /// Waits for a worker and for a place in its window.
    fn begin(
        &self,
        answer: SyncSender<Result<Vec<u8>, SignerError>>,
        deadline: Instant,
    ) -> Result<(Arc<Mutex<UnixStream>>, u64), SignerError> {
        let mut state = self.lock();
        loop {
            let waiting_for = match &state.phase {
                Phase::Up(stream) if state.under_way.len() < self.window => {
                    let stream = Arc::clone(stream);
                    let id = state.next_id;
                    state.next_id += 1;
                    let sent = Instant::now();
                    state.under_way.insert(id, UnderWay { sent, answer });
                    return Ok((stream, id));
                }
                Phase::Up(_) => "all sessions are busy",
                Phase::Sealed { reason } => return Err(SignerError::Sealed(reason.clone())),
                Phase::Stopped => return Err(SignerError::Away("the daemon stops".to_owned())),
                Phase::Down { reason, next } if *next > deadline => {
                    return Err(SignerError::Away(reason.clone()));
                }
                Phase::Down { reason, .. } => reason.as_str(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SignerError::Timeout(waiting_for.to_owned()));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(super) fn status(&self) -> TokenStatus {
        let state = self.lock();
        let mut status = state.status.clone();
        match &state.phase {
            Phase::Up(_) => {}
            Phase::Down { reason, .. } => {
                status.health = Health::Degraded {
                    reason: reason.clone(),
                    repairing: None,
                };
            }
            Phase::Sealed { reason } => {
                status.health = Health::Sealed {
                    reason: reason.clone(),
                };
            }
            Phase::Stopped => {}
        }
        status
    }

    /// Asks the worker to end, and the supervisor with it.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        if let Phase::Up(stream) = &state.phase {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = stream.shutdown(std::net::Shutdown::Write) {
                tracing::debug!(%error, "the worker was gone already");
            }
        }
        state.phase = Phase::Stopped;
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.lock().phase, Phase::Stopped)
    }

    /// A worker is ready. `false` when it is not wanted any more.
    pub(super) fn up(&self, stream: UnixStream) -> bool {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Stopped) {
            return false;
        }
        state.phase = Phase::Up(Arc::new(Mutex::new(stream)));
        state.status.health = Health::Ready;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// The worker is gone: whoever waits for it tries again, and the next starts after `pause`.
    pub(super) fn down(&self, reason: String, pause: Duration) {
        let mut state = self.lock();
        let orphans = std::mem::take(&mut state.under_way);
        if !matches!(state.phase, Phase::Stopped) {
            let next = Instant::now() + pause;
            state.phase = Phase::Down { reason, next };
            state.status.restarts += 1;
        }
        drop(state);
        drop(orphans);
        self.changed.notify_all();
    }

    /// Nothing is tried any more.
    pub(super) fn seal(&self, reason: String) {
        let mut state = self.lock();
        state.under_way.clear();
        state.phase = Phase::Sealed { reason };
        drop(state);
        self.changed.notify_all();
    }

    /// Sleeps until the next start is due; `false` when the daemon stops meanwhile.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| {
                !matches!(state.phase, Phase::Stopped)
            })
            .unwrap_or_else(PoisonError::into_inner);
        !matches!(state.phase, Phase::Stopped)
    }

    /// The age of the oldest request under way.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let state = self.lock();
        state.under_way.values().map(|way| way.sent.elapsed()).max()
    }

    /// Hands an answer to whoever waits for it. `true` if a request was answered.
    pub(super) fn take(&self, frame: FromWorker) -> bool {
        let (id, answer) = match frame {
            FromWorker::Signed { id, raw } => (id, Ok(raw.into())),
            FromWorker::Failed {
                id,
                failure,
                reason,
            } => (id, Err(error_of(failure, reason))),
            FromWorker::Beat {
                health,
                generation,
                errors,
            } => {
                let mut state = self.lock();
                state.status.health = health_of(health);
                state.status.generation = generation;
                state.status.errors = errors;
                return false;
            }
            FromWorker::Ready | FromWorker::NotOpened { .. } => return false,
        };
        let ended = self.lock().under_way.remove(&id);
        self.changed.notify_one();
        let known = ended.is_some();
        if let Some(way) = ended
            && way.answer.send(answer).is_err()
        {
            tracing::debug!("an answer came after its deadline");
        }
        known
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error_of(failure: WireFailure, reason: String) -> SignerError {
    let failed = |class| SignerError::Failed {
        class,
        reason: reason.clone(),
    };
    match failure {
        WireFailure::Timeout => SignerError::Timeout(reason),
        WireFailure::Away => SignerError::Away(reason),
        WireFailure::Sealed => SignerError::Sealed(reason),
        WireFailure::NoKey => SignerError::NoKey(reason),
        WireFailure::Transient => failed(ErrorClass::Transient),
        WireFailure::Session => failed(ErrorClass::Session),
        WireFailure::Module => failed(ErrorClass::Module),
        WireFailure::Pin => failed(ErrorClass::Pin),
        WireFailure::Request => failed(ErrorClass::Request),
    }
}

fn health_of(health: WireHealth) -> Health {
    match health {
        WireHealth::Ready => Health::Ready,
        WireHealth::Degraded {
            reason,
            repairing_ms,
        } => Health::Degraded {
            reason,
            repairing: repairing_ms.map(Duration::from_millis),
        },
        WireHealth::Sealed { reason } => Health::Sealed { reason },
    }
}
