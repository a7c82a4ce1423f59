//! A small, bounded pool of read-only sessions.
//!
//! A session runs one operation at a time, and more sessions than the device has engines only raise
//! the slowest answers. A session whose call failed is closed, never returned: asking each session
//! whether it still lives (`C_GetSessionInfo`) costs a round trip to the device on every use. Only
//! sessions that have been idle for a while are asked, so that no firewall or device forgets them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use crate::error::CallError;
use crate::gate::Outage;

/// Upper bound of sessions per token; small devices have sixteen in all.
pub const SESSIONS_MAX: usize = 16;
/// Idle sessions are asked this often.
const IDLE_MAX: Duration = Duration::from_secs(10);

pub(crate) struct SessionPool {
    state: Mutex<State>,
    freed: Condvar,
    limit: usize,
    slot: Slot,
    /// The token that owns the pool keeps the module loaded.
    pkcs11: Pkcs11,
}

struct State {
    idle: Vec<Idle>,
    /// Sessions that exist: idle ones and those in use.
    open: usize,
}

struct Idle {
    session: Session,
    since: Instant,
}

/// Why a call through the pool failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// All sessions stayed busy.
    #[error("no free session before the deadline, all {limit} are busy")]
    Busy {
        /// Size of the pool.
        limit: usize,
    },
    /// The token is being repaired, or is sealed.
    #[error(transparent)]
    Outage(#[from] Outage),
    /// A PKCS#11 call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl SessionPool {
    pub(crate) fn new(pkcs11: Pkcs11, slot: Slot, limit: usize) -> SessionPool {
        let state = Mutex::new(State {
            idle: Vec::new(),
            open: 0,
        });
        SessionPool {
            state,
            freed: Condvar::new(),
            limit: limit.clamp(1, SESSIONS_MAX),
            slot,
            pkcs11,
        }
    }

    /// Runs `work` on a session of its own; a session whose work failed is closed.
    pub(crate) fn with<T>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&Session) -> Result<T, cryptoki::error::Error>,
    ) -> Result<T, PoolError> {
        let lease = Lease {
            session: Some(self.take(deadline)?),
            pool: self,
        };
        let session = lease
            .session
            .as_ref()
            .expect("a lease holds its session until it ends");
        let value = work(session).map_err(CallError::from)?;
        lease.give_back();
        Ok(value)
    }

    /// Closes every idle session: what killed one has likely killed them all.
    pub(crate) fn evict_idle(&self) {
        let mut state = self.lock();
        let evicted = std::mem::take(&mut state.idle);
        state.open -= evicted.len();
        drop(state);
        drop(evicted);
        self.freed.notify_all();
    }

    /// Asks each session that has been idle for long whether it lives.
    pub(crate) fn keep_alive(&self) -> Result<(), CallError> {
        let (old, fresh) = {
            let mut state = self.lock();
            let idle = std::mem::take(&mut state.idle);
            idle.into_iter()
                .partition::<Vec<_>, _>(|idle| idle.since.elapsed() > IDLE_MAX)
        };
        self.lock().idle.extend(fresh);
        let mut answer = Ok(());
        for Idle { session, .. } in old {
            let lease = Lease {
                session: Some(session),
                pool: self,
            };
            let alive = lease.session.as_ref().map(Session::get_session_info);
            match alive {
                Some(Err(error)) => answer = Err(error.into()),
                _ => lease.give_back(),
            }
        }
        answer
    }

    pub(crate) fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    fn take(&self, deadline: Instant) -> Result<Session, PoolError> {
        let wait = deadline.saturating_duration_since(Instant::now());
        let (mut state, timeout) = self
            .freed
            .wait_timeout_while(self.lock(), wait, |state| {
                state.idle.is_empty() && state.open >= self.limit
            })
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(idle) = state.idle.pop() {
            return Ok(idle.session);
        }
        if timeout.timed_out() {
            return Err(PoolError::Busy { limit: self.limit });
        }
        state.open += 1;
        // Devices on a network answer this slowly; the others must not wait for it.
        drop(state);
        self.pkcs11.open_ro_session(self.slot).map_err(|error| {
            self.lock().open -= 1;
            self.freed.notify_one();
            CallError::from(error).into()
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session out of the pool; if it is dropped without being given back, it is closed.
struct Lease<'a> {
    session: Option<Session>,
    pool: &'a SessionPool,
}

impl Lease<'_> {
    fn give_back(mut self) {
        let idle = self.session.take().map(|session| Idle {
            session,
            since: Instant::now(),
        });
        self.pool.lock().idle.extend(idle);
        self.pool.freed.notify_one();
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(session);
            self.pool.lock().open -= 1;
            self.pool.freed.notify_one();
        }
    }
}
