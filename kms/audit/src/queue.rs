//! Group commit: the first thread that waits writes for all that wait.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use obol_log::TILE_WIDTH;

/// Why nothing is appended any more.
pub(crate) type Stopped = Arc<str>;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<Vec<u8>>,
    /// Entries whose group was synced.
    durable: u64,
    writing: bool,
    /// Entries of the group that is being written.
    flight: u64,
    stopped: Option<Stopped>,
}

impl Queue {
    pub(crate) fn starting_at(durable: u64) -> Self {
        let state = State {
            durable,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Waits until the entries are durable. `write` is called with a group by one thread at a time,
    /// without any lock held; the group never crosses the end of a bundle.
    pub(crate) fn append(
        &self,
        entries: Vec<Vec<u8>>,
        write: impl Fn(Vec<Vec<u8>>) -> Result<(), Stopped>,
    ) -> Result<Range<u64>, Stopped> {
        let mut state = self.lock();
        if let Some(why) = &state.stopped {
            return Err(Arc::clone(why));
        }
        let start = state.durable + state.flight + state.pending.len() as u64;
        let end = start + entries.len() as u64;
        state.pending.extend(entries);
        while state.durable < end {
            if let Some(why) = &state.stopped {
                return Err(Arc::clone(why));
            }
            state = if state.writing {
                self.changed
                    .wait(state)
                    .expect("no holder of this lock panics")
            } else {
                self.lead(state, &write)
            };
        }
        Ok(start..end)
    }

    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        write: &impl Fn(Vec<Vec<u8>>) -> Result<(), Stopped>,
    ) -> MutexGuard<'a, State> {
        let room = (TILE_WIDTH - state.durable % TILE_WIDTH) as usize;
        let count = room.min(state.pending.len());
        let group: Vec<_> = state.pending.drain(..count).collect();
        state.flight = count as u64;
        state.writing = true;
        drop(state);
        let written = write(group);
        let mut state = self.lock();
        state.writing = false;
        state.flight = 0;
        match written {
            Ok(()) => state.durable += count as u64,
            Err(why) => state.stop(why),
        }
        self.changed.notify_all();
        state
    }

    /// No later append succeeds.
    pub(crate) fn stop(&self, why: Stopped) {
        self.lock().stop(why);
        self.changed.notify_all();
    }

    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.lock().stopped.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn stop(&mut self, why: Stopped) {
        self.stopped.get_or_insert(why);
    }
}
