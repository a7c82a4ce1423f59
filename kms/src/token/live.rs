//! What one initialisation of the module gave: it all ends with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cryptoki::error::RvError;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use obol_kms_client::SpkiId;

use crate::config::TokenConfig;
use crate::digest::Digest;
use crate::error::{CallError, ErrorClass};
use crate::keys::{self, FindError, KeyPair};
use crate::module::{Loaded, TokenSummary};
use crate::pool::{PoolError, SessionPool};
use crate::template::Template;
use crate::token::{OpenError, SignError};

/// After a look through the token, a key that was not there is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A token that has signed nothing for so long is asked for one of its keys.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Why an idle token has to be opened anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAlive {
    /// It does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answers and shows none of the keys that make it the one it is.
    #[error("the token shows none of its keys any more")]
    Gone,
}

/// An open, logged-in token with its handles.
pub(super) struct Live {
    pool: SessionPool,
    /// Holds the login: when the last session of a token closes, the module logs out and private
    /// keys become invisible without any error. Dropped after the pool.
    anchor: Mutex<Session>,
    keys: RwLock<Keys>,
    /// When the token last showed that it has its keys.
    shown_at: Mutex<Instant>,
    pub(super) summary: TokenSummary,
    slot: Slot,
}

struct Keys {
    /// When they were read again, if they were.
    again_at: Option<Instant>,
    pairs: Vec<KeyPair>,
    /// Handles of the fit keys. `C_FindObjects` is linear in the token's objects, so it runs once.
    handles: HashMap<SpkiId, ObjectHandle>,
}

impl Live {
    /// Finds the token, logs in and reads its keys; every key of `demanded` must be there and fit.
    pub(super) fn open(
        loaded: &Loaded,
        config: &TokenConfig,
        sessions: usize,
        demanded: &[SpkiId],
    ) -> Result<Live, OpenError> {
        let (slot, summary) = locate(loaded, config)?;
        let anchor = loaded
            .pkcs11
            .open_ro_session(slot)
            .map_err(CallError::from)?;
        log_in(&anchor, config)?;
        let keys = Keys::of(keys::scan(
            &anchor,
            Template::of_manufacturer(&summary.manufacturer),
        )?);
        for id in demanded {
            keys.handle(*id).map_err(OpenError::Demanded)?;
        }
        let live = Live {
            pool: SessionPool::new(loaded.pkcs11.clone(), slot, sessions),
            anchor: Mutex::new(anchor),
            keys: RwLock::new(keys),
            shown_at: Mutex::new(Instant::now()),
            summary,
            slot,
        };
        live.probe(demanded)?;
        Ok(live)
    }

    pub(super) fn pairs(&self) -> Vec<KeyPair> {
        self.read(|keys| keys.pairs.clone())
    }

    pub(super) fn read_pairs<T>(&self, work: impl FnOnce(&[KeyPair]) -> T) -> T {
        self.read(|keys| work(&keys.pairs))
    }

    pub(super) fn handle(&self, id: SpkiId) -> Result<ObjectHandle, FindError> {
        self.read(|keys| keys.handle(id))
    }

    /// As [`Live::handle`], and looks through the token for a key that another process has made
    /// since: at most once a second, since that is linear in its objects.
    pub(super) fn find(&self, id: SpkiId) -> Result<ObjectHandle, SignError> {
        let found = self.handle(id);
        let Err(FindError::Missing(_)) = found else {
            return Ok(found?);
        };
        let anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let again_at = self.read(|keys| keys.again_at);
        if again_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN) {
            self.rescan(&anchor).map_err(PoolError::from)?;
        }
        drop(anchor);
        Ok(self.handle(id)?)
    }

    pub(super) fn sign(
        &self,
        key: ObjectHandle,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Vec<u8>, PoolError> {
        let signature = self.pool.with(deadline, |session| {
            session.sign(&Mechanism::Ecdsa, key, digest.as_bytes())
        })?;
        self.shown_now();
        Ok(signature)
    }

    pub(super) fn random(&self, length: u32, deadline: Instant) -> Result<Vec<u8>, PoolError> {
        self.pool
            .with(deadline, |session| session.generate_random_vec(length))
    }

    pub(super) fn evict_idle(&self) {
        self.pool.evict_idle();
    }

    /// Idle sessions and the anchor are asked whether they live. A session may live on when its
    /// token is gone (SoftHSM's do), so an idle token has to show one of the demanded keys
    /// too.
    pub(super) fn keep_alive(&self, demanded: &[SpkiId]) -> Result<(), NotAlive> {
        self.pool.keep_alive()?;
        let anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        anchor.get_session_info().map_err(CallError::from)?;
        if demanded.is_empty() || self.shown_at().elapsed() < IDLE_MAX {
            return Ok(());
        }
        // One is enough: another may have been destroyed since it was demanded.
        for id in demanded {
            if self.shows(*id, &anchor)? {
                self.shown_now();
                return Ok(());
            }
        }
        Err(NotAlive::Gone)
    }

    /// Whether the token shows the private key now: two calls or three, however many objects it has.
    fn shows(&self, id: SpkiId, session: &Session) -> Result<bool, CallError> {
        let Ok(handle) = self.handle(id) else {
            return Ok(false);
        };
        let names = session.get_attributes(handle, &[AttributeType::Id]);
        let mut template = match names.map_err(CallError::from) {
            Ok(names) => names,
            Err(error) if error.is(RvError::ObjectHandleInvalid) => return Ok(false),
            Err(error) => return Err(error),
        };
        template.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
        template.push(Attribute::Token(true));
        Ok(session.find_objects(&template)?.contains(&handle))
    }

    fn shown_at(&self) -> Instant {
        *self.shown_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_now(&self) {
        *self.shown_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A read-write session for key generation; it shares the anchor's login.
    pub(super) fn rw_session(&self, loaded: &Loaded) -> Result<Session, CallError> {
        Ok(loaded.pkcs11.open_rw_session(self.slot)?)
    }

    /// What keys of this token must be like.
    pub(super) fn template(&self) -> &'static Template {
        Template::of_manufacturer(&self.summary.manufacturer)
    }

    pub(super) fn rescan(&self, session: &Session) -> Result<(), CallError> {
        let mut fresh = Keys::of(keys::scan(session, self.template())?);
        fresh.again_at = Some(Instant::now());
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The canary: begins a signature with each demanded key and signs nothing. It shows that the
    /// login holds, that the handles live and that the mechanism is allowed.
    fn probe(&self, demanded: &[SpkiId]) -> Result<(), OpenError> {
        for id in demanded {
            let key = self.handle(*id).map_err(OpenError::Demanded)?;
            let session = self
                .pool
                .pkcs11()
                .open_ro_session(self.slot)
                .map_err(CallError::from)?;
            session
                .sign_init(&Mechanism::Ecdsa, key)
                .map_err(CallError::from)?;
        }
        Ok(())
    }

    fn read<T>(&self, work: impl FnOnce(&Keys) -> T) -> T {
        work(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys {
    fn of(pairs: Vec<KeyPair>) -> Keys {
        let handles = pairs
            .iter()
            .filter_map(|pair| Some((pair.id, keys::find(&pairs, pair.id).ok()?.1)))
            .collect();
        Keys {
            again_at: None,
            pairs,
            handles,
        }
    }

    fn handle(&self, id: SpkiId) -> Result<ObjectHandle, FindError> {
        match self.handles.get(&id) {
            Some(handle) => Ok(*handle),
            None => keys::find(&self.pairs, id).map(|(_, handle)| handle),
        }
    }
}

fn log_in(anchor: &Session, config: &TokenConfig) -> Result<(), OpenError> {
    let pin = config.read_pin()?;
    match anchor
        .login(UserType::User, Some(pin.as_auth_pin()))
        .map_err(CallError::from)
    {
        Ok(()) => Ok(()),
        // The login belongs to process and token, so another `Token` may have done it.
        Err(error) if error.is(RvError::UserAlreadyLoggedIn) => Ok(()),
        Err(source) if source.class() == ErrorClass::Pin => Err(OpenError::WrongPin {
            label: config.label.clone(),
            pin: config.pin.clone(),
            source,
        }),
        Err(error) => Err(error.into()),
    }
}

fn locate(loaded: &Loaded, config: &TokenConfig) -> Result<(Slot, TokenSummary), OpenError> {
    let all = loaded.tokens()?;
    let mut matching: Vec<_> = all
        .iter()
        .filter(|(_, token)| config.selects(token))
        .cloned()
        .collect();
    let (label, serial) = (config.label.clone(), config.serial.clone());
    match (matching.pop(), matching.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), more) => Err(OpenError::Ambiguous {
            label,
            serial,
            count: more + 1,
        }),
        (None, _) => Err(OpenError::NoSuchToken {
            label,
            serial,
            module: loaded.path().to_path_buf(),
            found: all.into_iter().map(|(_, token)| token).collect(),
        }),
    }
}
