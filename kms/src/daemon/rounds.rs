//! What has to be done again and again, each in a thread of its own: tokens are tended, checkpoints
//! signed.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::token::chain;

/// How often tokens are tended.
const TEND_EVERY: Duration = Duration::from_millis(500);
/// How often an audit log that has stopped is opened anew.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Threads that go round until they are told to stop. Dropping it waits for them.
pub(super) struct Rounds {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Sleeps; `false` when the daemon stops meanwhile.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, pause, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

impl Rounds {
    pub(super) fn start(engine: &Arc<Engine>) -> std::io::Result<Rounds> {
        let mut rounds = Rounds {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let of = Arc::clone(engine);
        rounds.spawn("tend", move |stop| {
            while stop.sleep(TEND_EVERY) {
                of.tend();
            }
        })?;
        let of = Arc::clone(engine);
        rounds.spawn("checkpoint", move |stop| keep_signed(&of, stop))?;
        let of = Arc::clone(engine);
        rounds.spawn("log", move |stop| keep_open(&of, stop))?;
        Ok(rounds)
    }

    pub(super) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&stop))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let mut stopped = self
            .stop
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *stopped = true;
        drop(stopped);
        self.stop.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a daemon's thread panicked");
            }
        }
    }
}

/// A log stops when it cannot be written, and goes on when it can again.
fn keep_open(engine: &Engine, stop: &Stop) {
    let mut said = false;
    while stop.sleep(REOPEN_EVERY) {
        if engine.audit().stopped.is_none() {
            continue;
        }
        match engine.reopen_log() {
            Ok(()) if engine.audit().stopped.is_none() => {
                said = false;
                tracing::warn!("the audit log had stopped and goes on");
            }
            Ok(()) => {}
            Err(error) if !said => {
                said = true;
                tracing::error!(error = chain(&error), "the audit log stays stopped");
            }
            Err(_) => {}
        }
    }
}

fn keep_signed(engine: &Engine, stop: &Stop) {
    let (mut last, mut failing) = (Instant::now(), false);
    while stop.sleep(LOOK_EVERY) {
        if !engine.checkpoint_is_due(last.elapsed()) {
            continue;
        }
        last = Instant::now();
        match engine.checkpoint() {
            Ok(_) => failing = false,
            // Said once, not each second; the status says it as long as it lasts.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(error = chain(&error), "the audit log has no new checkpoint");
            }
            Err(_) => {}
        }
    }
    // What came since the last one; a token that is away leaves it to the next start.
    if engine.checkpoint_is_due(Duration::MAX)
        && let Err(error) = engine.checkpoint()
    {
        tracing::warn!(error = chain(&error), "the last leaves are not signed yet");
    }
}
