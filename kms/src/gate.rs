//! One thing that many threads use and one thread at a time replaces.
//!
//! ```text
//!            condemn                    nobody inside any more, and the pause is over
//!  Open ───────────────▶ Broken ───────────────────────────────▶ Repairing ──▶ Open, generation + 1
//!                          ▲                                         │
//!                          └──────────── repair failed: longer pause ┘ ──▶ Sealed (a wrong PIN)
//! ```
//!
//! It knows nothing of PKCS#11; the token puts into it what one initialisation of the module gave.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pause after the first repair that did not hold.
const PAUSE_LEAST: Duration = Duration::from_millis(50);
/// Longest pause between repairs, so that a token that came back is used within two seconds.
const PAUSE_MOST: Duration = Duration::from_millis(1_000);
/// A pause that a caller sits out. Before a longer one it is told at once that the token is away.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) struct Gate<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    phase: Phase<T>,
    /// Counts the things that were put in; a complaint about an old one is ignored.
    generation: u64,
    /// Threads that are inside with the current or the condemned thing.
    inside: usize,
    /// Repairs since something last worked.
    failures: u32,
}

enum Phase<T> {
    Open(Arc<T>),
    Broken { reason: String, next: Instant },
    Repairing { reason: String, since: Instant },
    Sealed { reason: String },
}

/// How the thing behind the gate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Ready,
    /// It does not, and is being repaired.
    Degraded {
        /// What went wrong, in the words of the call that failed.
        reason: String,
        /// How long the repair that runs now has been running.
        repairing: Option<Duration>,
    },
    /// It does not, and only a person can help: the PIN was refused.
    Sealed {
        /// What was refused.
        reason: String,
    },
}

/// Why nobody gets in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// It is being repaired, and was not ready before the deadline.
    #[error("the token was not ready before the deadline: {0}")]
    Deadline(String),
    /// It is broken, and the next repair is some time off.
    #[error("the token is away: {0}")]
    Away(String),
    /// Only a person can help.
    #[error("the token is sealed: {0}")]
    Sealed(String),
}

pub(crate) enum Entered<'a, T> {
    Inside(Inside<'a, T>),
    /// This caller repairs, all others wait.
    ToRepair(Repair<'a, T>),
}

/// A place inside. While it is held, nothing is replaced.
pub(crate) struct Inside<'a, T> {
    gate: &'a Gate<T>,
    thing: Option<Arc<T>>,
    generation: u64,
}

/// The right to repair. Dropped without a result, it counts as a failed repair.
pub(crate) struct Repair<'a, T> {
    gate: &'a Gate<T>,
    finished: bool,
}

impl<T> Gate<T> {
    pub(crate) fn open(thing: T) -> Gate<T> {
        Gate {
            state: Mutex::new(State {
                phase: Phase::Open(Arc::new(thing)),
                generation: 1,
                inside: 0,
                failures: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn health(&self) -> Health {
        match &self.lock().phase {
            Phase::Open(_) => Health::Ready,
            Phase::Broken { reason, .. } => Health::Degraded {
                reason: reason.clone(),
                repairing: None,
            },
            Phase::Repairing { reason, since } => Health::Degraded {
                reason: reason.clone(),
                repairing: Some(since.elapsed()),
            },
            Phase::Sealed { reason } => Health::Sealed {
                reason: reason.clone(),
            },
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits for a way in, or for the duty to repair, until `deadline`.
    pub(crate) fn enter(&self, deadline: Instant) -> Result<Entered<'_, T>, Outage> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let wake = match &state.phase {
                Phase::Open(_) => return Ok(Entered::Inside(self.inside(&mut state))),
                Phase::Sealed { reason } => return Err(Outage::Sealed(reason.clone())),
                Phase::Broken { next, .. } if now >= *next && state.inside == 0 => {
                    return Ok(Entered::ToRepair(self.repair(&mut state)));
                }
                Phase::Broken { next, reason, .. } if *next > now + PATIENCE => {
                    return Err(Outage::Away(reason.clone()));
                }
                Phase::Broken { next, .. } if *next > now => deadline.min(*next),
                Phase::Broken { .. } | Phase::Repairing { .. } => deadline,
            };
            let left = wake.saturating_duration_since(now);
            if now >= deadline {
                return Err(Outage::Deadline(state.phase.reason()));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A place inside if it is open now, the duty to repair if that is due now.
    pub(crate) fn enter_now(&self) -> Option<Entered<'_, T>> {
        self.enter(Instant::now()).ok()
    }

    fn inside(&self, state: &mut State<T>) -> Inside<'_, T> {
        let thing = match &state.phase {
            Phase::Open(thing) => Some(Arc::clone(thing)),
            _ => None,
        };
        state.inside += 1;
        Inside {
            gate: self,
            thing,
            generation: state.generation,
        }
    }

    fn repair(&self, state: &mut State<T>) -> Repair<'_, T> {
        let reason = state.phase.reason();
        let since = Instant::now();
        state.phase = Phase::Repairing { reason, since };
        state.failures = state.failures.saturating_add(1);
        Repair {
            gate: self,
            finished: false,
        }
    }

    fn put(&self, phase: Phase<T>) {
        let mut state = self.lock();
        if matches!(phase, Phase::Open(_)) {
            state.generation += 1;
        }
        state.phase = phase;
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Phase<T> {
    fn reason(&self) -> String {
        match self {
            Phase::Open(_) => "it is ready".to_owned(),
            Phase::Broken { reason, .. }
            | Phase::Repairing { reason, .. }
            | Phase::Sealed { reason } => reason.clone(),
        }
    }
}

impl<T> Inside<'_, T> {
    /// It worked: the next trouble is a new one.
    pub(crate) fn worked(&self) {
        let mut state = self.gate.lock();
        if state.generation == self.generation {
            state.failures = 0;
        }
    }

    /// It has to be replaced. Only the first complaint about a generation counts.
    pub(crate) fn condemn(self, reason: String) {
        let mut state = self.gate.lock();
        if state.generation == self.generation && matches!(state.phase, Phase::Open(_)) {
            state.phase = Phase::Broken {
                reason,
                next: Instant::now() + pause(state.failures),
            };
        }
    }
}

impl<T> std::ops::Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.thing
            .as_ref()
            .expect("a place inside is given only while the gate is open")
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // The thing goes first: when the last one is out, a condemned thing is gone.
        drop(self.thing.take());
        let mut state = self.gate.lock();
        state.inside -= 1;
        let last = state.inside == 0 && !matches!(state.phase, Phase::Open(_));
        drop(state);
        if last {
            self.gate.changed.notify_all();
        }
    }
}

impl<T> Repair<'_, T> {
    pub(crate) fn done(mut self, thing: T) {
        self.finished = true;
        self.gate.put(Phase::Open(Arc::new(thing)));
    }

    pub(crate) fn failed(mut self, reason: String) {
        self.finished = true;
        self.fail(reason);
    }

    /// Nothing is tried any more.
    pub(crate) fn seal(mut self, reason: String) {
        self.finished = true;
        self.gate.put(Phase::Sealed { reason });
    }

    fn fail(&self, reason: String) {
        let failures = self.gate.lock().failures;
        self.gate.put(Phase::Broken {
            reason,
            next: Instant::now() + pause(failures),
        });
    }
}

impl<T> Drop for Repair<'_, T> {
    fn drop(&mut self) {
        if !self.finished {
            self.fail("a repair was given up".to_owned());
        }
    }
}

/// Exponential from [`PAUSE_LEAST`], capped, and spread over its upper half, so that many daemons
/// on one device do not come back in step. The first repair of a trouble is not delayed.
pub(crate) fn pause(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let whole = PAUSE_MOST.min(PAUSE_LEAST * 2u32.saturating_pow((failures - 1).min(16)));
    let half = whole / 2;
    let spread = u32::try_from(RandomState::new().hash_one(failures) % 1_000)
        .expect("a remainder of 1000 fits");
    half + half * spread / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn one_thread_repairs_and_the_others_wait() {
        let gate = Gate::open(1u64);
        let repairs = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    loop {
                        match gate.enter(soon()).unwrap() {
                            Entered::Inside(inside) if *inside == 1 => {
                                inside.condemn("broken".into());
                            }
                            Entered::Inside(inside) => return inside.worked(),
                            Entered::ToRepair(repair) => {
                                repairs.fetch_add(1, Ordering::Relaxed);
                                std::thread::sleep(Duration::from_millis(20));
                                repair.done(2);
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(repairs.load(Ordering::Relaxed), 1);
        assert_eq!((gate.generation(), gate.health()), (2, Health::Ready));
    }

    #[test]
    fn nothing_is_repaired_while_somebody_is_inside() {
        let gate = Gate::open(());
        let Entered::Inside(hung) = gate.enter(soon()).unwrap() else {
            panic!("the gate is open")
        };
        let Entered::Inside(other) = gate.enter(soon()).unwrap() else {
            panic!("the gate is open")
        };
        other.condemn("C_Sign: CKR_DEVICE_ERROR".into());
        let deadline = Instant::now() + Duration::from_millis(30);
        let outage = gate.enter(deadline).err().unwrap();
        assert_eq!(outage, Outage::Deadline("C_Sign: CKR_DEVICE_ERROR".into()));
        drop(hung);
        assert!(matches!(gate.enter(soon()), Ok(Entered::ToRepair(_))));
    }

    #[test]
    fn a_complaint_about_an_old_generation_is_ignored() {
        let gate = Gate::open(());
        let enter = || match gate.enter(soon()).unwrap() {
            Entered::Inside(inside) => inside,
            Entered::ToRepair(_) => panic!("the gate is open"),
        };
        let (first, mut late) = (enter(), enter());
        first.condemn("broken".into());
        late.thing = None;
        drop(late);
        let Ok(Entered::ToRepair(repair)) = gate.enter(soon()) else {
            panic!("it is broken")
        };
        repair.done(());
        let mut late = enter();
        late.generation = 1;
        late.condemn("broken".into());
        assert_eq!(gate.health(), Health::Ready);
    }

    #[test]
    fn after_failed_repairs_callers_are_told_at_once() {
        let gate = Gate::open(());
        let Ok(Entered::Inside(inside)) = gate.enter(soon()) else {
            panic!("the gate is open")
        };
        inside.condemn("away".into());
        let begun = Instant::now();
        let outage = loop {
            match gate.enter(soon()) {
                Ok(Entered::ToRepair(repair)) => repair.failed("still away".into()),
                Ok(Entered::Inside(_)) => panic!("nothing was repaired"),
                Err(outage) => break outage,
            }
        };
        assert_eq!(outage, Outage::Away("still away".into()));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_sealed_gate_stays_shut() {
        let gate = Gate::open(());
        let Ok(Entered::Inside(inside)) = gate.enter(soon()) else {
            panic!("the gate is open")
        };
        inside.condemn("away".into());
        let Ok(Entered::ToRepair(repair)) = gate.enter(soon()) else {
            panic!("it is broken")
        };
        repair.seal("C_Login: CKR_PIN_INCORRECT".into());
        let outage = gate.enter(soon()).err().unwrap();
        assert_eq!(outage, Outage::Sealed("C_Login: CKR_PIN_INCORRECT".into()));
    }

    #[test]
    fn a_repair_that_panics_is_a_failed_repair() {
        let gate = Gate::open(());
        let Ok(Entered::Inside(inside)) = gate.enter(soon()) else {
            panic!("the gate is open")
        };
        inside.condemn("away".into());
        drop(gate.enter(soon()));
        assert!(matches!(
            gate.health(),
            Health::Degraded {
                repairing: None,
                ..
            }
        ));
    }

    #[test]
    fn pauses_grow_to_a_cap_and_are_spread() {
        assert_eq!(pause(0), Duration::ZERO);
        for failures in 1..40 {
            let pause = pause(failures);
            assert!(pause >= PAUSE_LEAST / 2 && pause <= PAUSE_MOST, "{pause:?}");
        }
        assert!(pause(30) >= PAUSE_MOST / 2);
        let spread: std::collections::BTreeSet<_> = (0..8).map(|_| pause(30)).collect();
        assert!(spread.len() > 1);
    }
}
