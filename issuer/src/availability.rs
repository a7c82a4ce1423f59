//! Which keys can sign now: what the daemon says of its tokens, and what came of signatures. Who asks
//! for one that cannot is told at once, before anything is written down.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use obol_credential::Kid;
use obol_kms_client::wire::{RefusalKind, TokenHealth};
use obol_kms_client::{KeyInfo, KmsClient, KmsError, Status};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// How often the daemon is asked how its tokens are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A daemon that gives no answer for so long counts as one that is away.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// So many looks in a row find a token away before it counts as such: the daemon bridges the start of
/// another worker process, and its requests are better off waiting for it.
const LOOKS: u32 = 3;
/// Looks until it is asked again which token has which key.
const LOOKS_OF_KEYS: u32 = 20;
/// After a signature that did not come, one request at a time may try again: the first at once, the
/// next ones so often.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// What is known; it is kept up by [`keep_up`].
#[derive(Debug, Default)]
pub(crate) struct Availability {
    state: Mutex<State>,
    silence: watch::Sender<Silence>,
}

/// Whether the daemon has said nothing for so long that nobody waits for it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Silence {
    #[default]
    None,
    Fallen,
}

#[derive(Debug, Default)]
struct State {
    /// Looks in a row at which the daemon said nothing.
    silent: u32,
    /// By serial number: looks in a row at which the token was not ready.
    tokens: HashMap<String, u32>,
    /// Which token has the key, where the daemon says so.
    holders: HashMap<Kid, String>,
    /// Keys whose signature did not come.
    failing: HashMap<Kid, Failing>,
    worked: HashMap<Kid, Instant>,
}

#[derive(Debug)]
struct Failing {
    next: Instant,
    /// Held by whoever tries, and gone with them.
    trial: Weak<()>,
    /// Looks since then at which its token was ready.
    ready: u32,
}

impl Failing {
    fn is_tried(&self) -> bool {
        self.trial.strong_count() > 0
    }

    fn waits(&self) -> bool {
        self.is_tried() || Instant::now() < self.next
    }
}

/// The right to ask for signatures of a key.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    availability: Arc<Availability>,
    kid: Kid,
    /// Of who tries whether a key that failed signs again; nobody else tries meanwhile.
    trial: Option<Arc<()>>,
}

/// The passes of one request: it tries as a whole.
#[derive(Debug)]
pub(crate) struct Passes {
    availability: Arc<Availability>,
    given: HashMap<Kid, Option<Pass>>,
}

impl Passes {
    pub(crate) fn new(availability: &Arc<Availability>) -> Self {
        Self {
            availability: Arc::clone(availability),
            given: HashMap::new(),
        }
    }

    /// `None` when the key cannot sign.
    pub(crate) fn of(&mut self, kid: Kid) -> Option<Pass> {
        let given = self.given.entry(kid);
        let given = given.or_insert_with(|| self.availability.enter(kid));
        given.as_ref().filter(|pass| pass.holds()).cloned()
    }
}

impl Availability {
    /// Whether requests for the key may come: it signs, as far as is known, or the daemon says again
    /// and again that its token is ready, and one of them is needed to try.
    pub(crate) fn has(&self, kid: Kid) -> bool {
        let state = self.lock();
        let failing = state.failing.get(&kid);
        !state.is_away(kid)
            && failing.is_none_or(|failing| !failing.is_tried() && failing.ready >= LOOKS)
    }

    /// Whether a pass would be refused now.
    pub(crate) fn refuses(&self, kid: Kid) -> bool {
        let state = self.lock();
        state.is_away(kid) || state.failing.get(&kid).is_some_and(Failing::waits)
    }

    /// `None` when the key cannot sign. Of those who ask for one that failed, one now and then tries.
    fn enter(self: &Arc<Self>, kid: Kid) -> Option<Pass> {
        let mut state = self.lock();
        if state.is_away(kid) {
            return None;
        }
        let trial = match state.failing.get_mut(&kid) {
            None => None,
            Some(failing) if failing.waits() => return None,
            Some(failing) => {
                let trial = Arc::new(());
                failing.trial = Arc::downgrade(&trial);
                Some(trial)
            }
        };
        drop(state);
        let availability = Arc::clone(self);
        Some(Pass {
            availability,
            kid,
            trial,
        })
    }

    fn hear_keys(&self, keys: &[KeyInfo]) {
        let holder = |key: &KeyInfo| Some((key.spki.kid(), key.token.clone()?));
        self.lock().holders = keys.iter().filter_map(holder).collect();
    }

    fn hear_status(&self, status: &Status) {
        let mut state = self.lock();
        state.silent = 0;
        let looks = |serial: &String, health: &TokenHealth| match health {
            TokenHealth::Ready => 0,
            TokenHealth::Degraded(_) | TokenHealth::Sealed(_) => state
                .tokens
                .get(serial)
                .copied()
                .unwrap_or(0)
                .saturating_add(1),
        };
        let tokens = status.tokens.iter();
        let tokens: HashMap<_, _> = tokens
            .map(|token| (token.serial.clone(), looks(&token.serial, &token.health)))
            .collect();
        for (serial, looks) in &tokens {
            let before = state.tokens.get(serial).copied().unwrap_or(0);
            match (before >= LOOKS, *looks >= LOOKS) {
                (false, true) => warn!(serial, "a token is away: its keys sign nothing"),
                (true, false) => info!(serial, "a token is back"),
                _ => {}
            }
        }
        state.tokens = tokens;
        let State {
            tokens,
            holders,
            failing,
            ..
        } = &mut *state;
        for (kid, failing) in failing {
            let holder = holders.get(kid).and_then(|serial| tokens.get(serial));
            let ready = |looks: &u32| *looks == 0;
            if holder.map_or_else(|| tokens.values().any(ready), ready) {
                failing.ready = failing.ready.saturating_add(1);
            }
        }
        drop(state);
        self.note_silence();
    }

    fn hear_nothing(&self, how: Nothing) {
        let mut state = self.lock();
        state.silent = state.silent.saturating_add(match how {
            Nothing::AtOnce => 1,
            // Some more than one look's time has gone by.
            Nothing::InTime => 2,
        });
        drop(state);
        self.note_silence();
    }

    fn note_silence(&self) {
        let silence = match self.lock().silent >= LOOKS {
            true => Silence::Fallen,
            false => Silence::None,
        };
        if self.silence.send_replace(silence) != silence {
            match silence {
                Silence::Fallen => warn!("the key management daemon is silent: no key signs"),
                Silence::None => info!("the key management daemon answers again"),
            }
        }
    }

    /// Ends when the daemon is silent: what was asked of it is not waited for any longer.
    pub(crate) async fn silence(&self) {
        let mut silence = self.silence.subscribe();
        let fallen = silence.wait_for(|silence| *silence == Silence::Fallen);
        fallen.await.map(drop).expect("this holds the sender");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fails(&mut self, kid: Kid, next: Instant) {
        let failing = Failing {
            next,
            trial: Weak::new(),
            ready: 0,
        };
        self.failing.insert(kid, failing);
    }

    fn is_away(&self, kid: Kid) -> bool {
        if self.silent >= LOOKS {
            return true;
        }
        let holder = self
            .holders
            .get(&kid)
            .and_then(|serial| self.tokens.get(serial));
        match holder {
            Some(looks) => *looks >= LOOKS,
            None => !self.tokens.is_empty() && self.tokens.values().all(|looks| *looks >= LOOKS),
        }
    }
}

impl Pass {
    /// Whether it is still worth asking: others may have waited in vain since it was given.
    pub(crate) fn holds(&self) -> bool {
        let state = self.availability.lock();
        let failing = state.failing.get(&self.kid);
        !state.is_away(self.kid) && failing.is_none_or(|failing| self.tries(failing))
    }

    fn tries(&self, failing: &Failing) -> bool {
        let own = |trial: &Arc<()>| failing.trial.ptr_eq(&Arc::downgrade(trial));
        self.trial.as_ref().is_some_and(own)
    }

    /// What came of a signature that was asked for at `begun`.
    pub(crate) fn ended<T>(&self, begun: Instant, result: &Result<T, KmsError>) {
        let (mut state, now) = (self.availability.lock(), Instant::now());
        let failing = state.failing.get(&self.kid);
        let (is_known, is_trial) = (
            failing.is_some(),
            failing.is_some_and(|failing| self.tries(failing)),
        );
        match result {
            Ok(_) => {
                state.worked.insert(self.kid, now);
                if state.failing.remove(&self.kid).is_some() {
                    info!(kid = %self.kid, "the key signs again");
                }
            }
            Err(_) if is_trial => state.fails(self.kid, now + TRY_EVERY),
            Err(error) if gave_none(error) && !is_known => {
                // Where others were served meanwhile it is slow, not away.
                let worked = state.worked.get(&self.kid);
                if worked.is_none_or(|worked| *worked < begun) {
                    state.fails(self.kid, now);
                    warn!(kid = %self.kid, "the key gave no signature: one request at a time tries");
                }
            }
            Err(_) => {}
        }
    }
}

/// Nothing came in time, or nobody was there, or the token failed for good: of one worker process that
/// dies nothing is heard, since the daemon asks the next.
fn gave_none(error: &KmsError) -> bool {
    match error {
        KmsError::Deadline | KmsError::Connect { .. } | KmsError::Closed(_) => true,
        KmsError::Refused { kind, .. } => {
            matches!(kind, RefusalKind::Timeout | RefusalKind::TokenFailure)
        }
        _ => false,
    }
}

/// How a look ended without an answer.
#[derive(Debug, Clone, Copy)]
enum Nothing {
    AtOnce,
    InTime,
}

/// Whether the token of a key is ready, by what the daemon says: any, where it does not say which.
pub(crate) fn is_ready(key: &KeyInfo, status: &Status) -> bool {
    let mut tokens = status.tokens.iter();
    tokens.any(|token| {
        token.health == TokenHealth::Ready
            && key
                .token
                .as_ref()
                .is_none_or(|serial| *serial == token.serial)
    })
}

/// Looks after it until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn look_once(
    kms: &KmsClient,
    availability: &Availability,
    number: u32,
) -> Result<(), KmsError> {
    if number.is_multiple_of(LOOKS_OF_KEYS) {
        availability.hear_keys(&kms.keys().await?);
    }
    availability.hear_status(&kms.status().await?);
    Ok(())
}

/// Asks the daemon again and again, over a connection of its own: one that is full of requests says
/// nothing about tokens.
pub(crate) fn keep_up(kms: KmsClient, availability: Arc<Availability>) -> Watch {
    Watch(tokio::spawn(async move {
        for number in 0.. {
            let look = look_once(&kms, &availability, number);
            match timeout(LOOK_WITHIN, look).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => availability.hear_nothing(Nothing::AtOnce),
                Err(_) => availability.hear_nothing(Nothing::InTime),
            }
            sleep(LOOK_EVERY).await;
        }
    }))
}
