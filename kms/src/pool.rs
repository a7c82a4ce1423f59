//! A small, bounded pool of read-only sessions.
//!
//! A session runs one operation at a time, and more sessions than the device has engines only raise
//! the slowest answers. A session whose call failed is closed, never returned: asking each session
//! whether it still lives (`C_GetSessionInfo`) costs a round trip to the device on every use.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use crate::error::CallError;

/// Upper bound of sessions per token; small devices have sixteen in all.
pub const SESSIONS_MAX: usize = 16;
/// Longest wait for a free session.
const WAIT: Duration = Duration::from_secs(5);

pub(crate) struct SessionPool {
    state: Mutex<State>,
    freed: Condvar,
    limit: usize,
    slot: Slot,
    /// The token that owns the pool keeps the module loaded.
    pkcs11: Pkcs11,
}

struct State {
    idle: Vec<Session>,
    /// Sessions that exist: idle ones and those in use.
    open: usize,
}

/// Why a call through the pool failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// All sessions stayed busy.
    #[error("no free session within {} s, all {limit} are busy", WAIT.as_secs())]
    Busy {
        /// Size of the pool.
        limit: usize,
    },
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
        work: impl FnOnce(&Session) -> Result<T, cryptoki::error::Error>,
    ) -> Result<T, PoolError> {
        let lease = Lease {
            session: Some(self.take()?),
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

    fn take(&self) -> Result<Session, PoolError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, timeout) = self
            .freed
            .wait_timeout_while(state, WAIT, |state| {
                state.idle.is_empty() && state.open >= self.limit
            })
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = state.idle.pop() {
            return Ok(session);
        }
        if timeout.timed_out() {
            return Err(PoolError::Busy { limit: self.limit });
        }
        let session = self
            .pkcs11
            .open_ro_session(self.slot)
            .map_err(CallError::from)?;
        state.open += 1;
        Ok(session)
    }
}

/// One session out of the pool; if it is dropped without being given back, it is closed.
struct Lease<'a> {
    session: Option<Session>,
    pool: &'a SessionPool,
}

impl Lease<'_> {
    fn give_back(mut self) {
        let mut state = self
            .pool
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.idle.extend(self.session.take());
        drop(state);
        self.pool.freed.notify_one();
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(session);
            self.pool
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .open -= 1;
            self.pool.freed.notify_one();
        }
    }
}
