//! Which keys can sign now: what the daemon says of its tokens, and what came of signatures. Who asks
//! for one that cannot is told at once, before anything is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    trying: bool,
    /// Looks since then at which its token was ready.
    ready: u32,
}

/// The right to ask for one signature of a key.
#[derive(Debug)]
pub(crate) struct Pass {
    availability: Arc<Availability>,
    kid: Kid,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Usual,
    /// Tries whether a key that failed signs again; nobody else tries meanwhile.
    Trial,
    Over,
}

impl Availability {
    /// Whether requests for the key may come: it signs, as far as is known, or the daemon says again
    /// and again that its token is ready, and one of them is needed to try.
    pub(crate) fn has(&self, kid: Kid) -> bool {
        let state = self.lock();
        let failing = state.failing.get(&kid);
        !state.is_away(kid)
            && failing.is_none_or(|failing| !failing.trying && failing.ready >= LOOKS)
    }

    /// Whether [`Availability::enter`] would refuse now.
    pub(crate) fn refuses(&self, kid: Kid) -> bool {
        let state = self.lock();
        let waits = |failing: &Failing| failing.trying || Instant::now() < failing.next;
        state.is_away(kid) || state.failing.get(&kid).is_some_and(waits)
    }

    /// `None` when the key cannot sign. Of those who ask for one that failed, one now and then tries.
    pub(crate) fn enter(self: &Arc<Self>, kid: Kid) -> Option<Pass> {
        let mut state = self.lock();
        if state.is_away(kid) {
            return None;
        }
        let kind = match state.failing.get_mut(&kid) {
            None => Kind::Usual,
            Some(failing) if failing.trying || Instant::now() < failing.next => return None,
            Some(failing) => {
                failing.trying = true;
                Kind::Trial
            }
        };
        drop(state);
        let availability = Arc::clone(self);
        Some(Pass {
            availability,
            kid,
            kind,
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
        self.kind == Kind::Trial
            || (!state.is_away(self.kid) && !state.failing.contains_key(&self.kid))
    }

    /// What came of the signature that was asked for at `begun`.
    pub(crate) fn ended<T>(mut self, begun: Instant, result: &Result<T, KmsError>) {
        let (mut state, now) = (self.availability.lock(), Instant::now());
        match result {
            Ok(_) => {
                state.worked.insert(self.kid, now);
                if state.failing.remove(&self.kid).is_some() {
                    info!(kid = %self.kid, "the key signs again");
                }
            }
            Err(error) if self.kind == Kind::Trial || gave_none(error) => {
                // Where others were served meanwhile it is slow, not away.
                let worked = state.worked.get(&self.kid);
                let is_slow = worked.is_some_and(|worked| *worked >= begun);
                let is_known = state.failing.contains_key(&self.kid);
                if self.kind == Kind::Usual && (is_slow || is_known) {
                    return;
                }
                let failing = Failing {
                    next: match self.kind {
                        Kind::Trial => now + TRY_EVERY,
                        Kind::Usual | Kind::Over => now,
                    },
                    trying: false,
                    ready: 0,
                };
                if state.failing.insert(self.kid, failing).is_none() {
                    warn!(kid = %self.kid, "the key gave no signature: one request at a time tries");
                }
            }
            Err(_) => {}
        }
        drop(state);
        self.kind = Kind::Over;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.kind == Kind::Trial {
            let mut state = self.availability.lock();
            if let Some(failing) = state.failing.get_mut(&self.kid) {
                failing.trying = false;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use obol_credential::Algorithm;
    use obol_kms_client::wire::{WireAudit, WireToken};
    use obol_kms_client::{KeyClass, KeyState, SpkiId};

    fn key(seed: u8, token: Option<&str>) -> KeyInfo {
        KeyInfo {
            spki: SpkiId([seed; 32]),
            spki_der: Vec::new(),
            algorithm: Algorithm::Esp384,
            class: KeyClass::Issuer,
            state: KeyState::Active,
            token: token.map(str::to_owned),
        }
    }

    fn status(healths: [TokenHealth; 2]) -> Status {
        let token = |(serial, health): (&str, TokenHealth)| WireToken {
            label: "issuer".to_owned(),
            serial: serial.to_owned(),
            health,
            restarts: 0,
        };
        Status {
            tokens: ["a", "b"].into_iter().zip(healths).map(token).collect(),
            audit: WireAudit {
                leaves: 0,
                signed: 0,
                witnessed: 0,
                trouble: None,
            },
        }
    }

    fn away() -> TokenHealth {
        TokenHealth::Degraded("gone".to_owned())
    }

    fn with_keys() -> (Arc<Availability>, [Kid; 3]) {
        let availability = Arc::<Availability>::default();
        let keys = [key(1, Some("a")), key(2, Some("b")), key(3, None)];
        availability.hear_keys(&keys);
        (availability, keys.map(|key| key.spki.kid()))
    }

    fn has(availability: &Availability, kids: [Kid; 3]) -> [bool; 3] {
        kids.map(|kid| availability.has(kid))
    }

    #[test]
    fn a_token_is_away_after_three_looks_in_a_row_and_back_after_one() {
        let (availability, kids) = with_keys();
        for _ in 0..2 {
            availability.hear_status(&status([away(), TokenHealth::Ready]));
            assert_eq!(has(&availability, kids), [true; 3]);
        }
        availability.hear_status(&status([away(), TokenHealth::Ready]));
        assert_eq!(has(&availability, kids), [false, true, true]);
        assert!(availability.enter(kids[0]).is_none() && availability.refuses(kids[0]));
        // Of a key whose token is not said, all tokens must be away.
        for _ in 0..3 {
            availability.hear_status(&status([away(), away()]));
        }
        assert_eq!(has(&availability, kids), [false; 3]);
        availability.hear_status(&status([TokenHealth::Ready, away()]));
        assert_eq!(has(&availability, kids), [true, false, true]);
    }

    #[test]
    fn a_daemon_that_says_nothing_three_times_has_no_key_until_it_speaks() {
        let (availability, kids) = with_keys();
        (0..2).for_each(|_| availability.hear_nothing(Nothing::AtOnce));
        assert_eq!(has(&availability, kids), [true; 3]);
        availability.hear_nothing(Nothing::AtOnce);
        assert_eq!(has(&availability, kids), [false; 3]);
        availability.hear_status(&status([TokenHealth::Ready, TokenHealth::Ready]));
        (0..2).for_each(|_| availability.hear_nothing(Nothing::InTime));
        assert_eq!(has(&availability, kids), [false; 3]);
        availability.hear_status(&status([TokenHealth::Ready, TokenHealth::Ready]));
        assert_eq!(has(&availability, kids), [true; 3]);
    }

    fn late() -> Result<(), KmsError> {
        Err(KmsError::Deadline)
    }

    #[test]
    fn after_a_signature_that_did_not_come_one_at_a_time_tries_until_one_comes() {
        let (availability, [kid, other, _]) = with_keys();
        let begun = Instant::now();
        let passes = [(); 2].map(|()| availability.enter(kid).unwrap());
        let [first, second] = passes;
        first.ended(begun, &late());
        assert!(!second.holds(), "nobody else waits for it in vain");
        drop(second);
        assert!(availability.has(other));
        let trial = availability.enter(kid).unwrap();
        assert!(trial.holds() && availability.enter(kid).is_none() && availability.refuses(kid));
        // A trial that was given up is none.
        drop(trial);
        let trial = availability.enter(kid).unwrap();
        trial.ended(begun, &late());
        assert!(availability.enter(kid).is_none(), "not so soon");
        std::thread::sleep(TRY_EVERY);
        availability.enter(kid).unwrap().ended(begun, &Ok(()));
        assert!(availability.has(kid) && availability.enter(kid).is_some());
    }

    #[test]
    fn a_token_that_is_said_to_be_ready_gets_requests_again_one_at_a_time() {
        let (availability, [kid, ..]) = with_keys();
        availability
            .enter(kid)
            .unwrap()
            .ended(Instant::now(), &late());
        let ready = status([TokenHealth::Ready, TokenHealth::Ready]);
        for _ in 0..3 {
            assert!(!availability.has(kid));
            availability.hear_status(&ready);
        }
        assert!(availability.has(kid));
        let trial = availability.enter(kid).unwrap();
        assert!(!availability.has(kid) && availability.enter(kid).is_none());
        trial.ended(Instant::now(), &late());
        assert!(!availability.has(kid), "three looks again");
    }

    #[test]
    fn a_key_that_serves_others_meanwhile_is_slow_and_not_away_and_a_refusal_is_no_silence() {
        let (availability, [kid, ..]) = with_keys();
        let begun = Instant::now();
        availability.enter(kid).unwrap().ended(begun, &Ok(()));
        availability.enter(kid).unwrap().ended(begun, &late());
        assert!(availability.has(kid));
        let kind = RefusalKind::Denied;
        let reason = "the policy does not permit it".to_owned();
        let denied: Result<(), _> = Err(KmsError::Refused { kind, reason });
        let pass = availability.enter(kid).unwrap();
        pass.ended(Instant::now(), &denied);
        assert!(availability.has(kid));
    }
}
