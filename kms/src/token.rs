//! One token: found by label and serial, logged in once, its keys found by their public half, and
//! all of that again after its module died.

mod live;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cryptoki::context::Pkcs11;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use obol_kms_client::SpkiId;

use crate::config::{ConfigError, PinSource, TokenConfig};
use crate::digest::Digest;
use crate::error::{CallError, ErrorClass, Remedy};
use crate::gate::{Entered, Gate, Health, Inside, Outage, Repair};
use crate::keys::{self, FindError, Key, KeyPair};
use crate::module::{Loaded, Module, TokenSummary};
use crate::pool::PoolError;
use crate::public_key::VerifiedSignature;
use live::{Live, NotAlive};

/// What is said of a token that cannot be asked.
const AWAY: &str = "unknown while the token is away";
/// Longest wait of a command, which has no deadline of its own.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open token: logged in, its keys known.
///
/// When the module dies under it (the device was restarted, a session was dropped), the thread that
/// noticed finalises, initialises, logs in, finds all keys again in one pass and checks that the
/// demanded ones are the same, while the others wait. Nothing repairs a call that never returns:
/// that ends only with the process, which is why services keep tokens in a worker process.
pub struct Token {
    gate: Gate<Live>,
    config: TokenConfig,
    sessions: usize,
    /// Keys without which this is another token.
    demanded: Mutex<Vec<SpkiId>>,
    errors: ErrorCounts,
    module: Arc<Loaded>,
}

/// Failed PKCS#11 calls since the token was opened, by class.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounts([AtomicU64; ErrorClass::ALL.len()]);

/// Why a token could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No token has this label and serial.
    #[error(
        "no token labelled {label:?} with serial {serial:?} in module {}; it has {}",
        module.display(), list(found)
    )]
    NoSuchToken {
        /// Label asked for.
        label: String,
        /// Serial asked for.
        serial: String,
        /// The module's library.
        module: PathBuf,
        /// The tokens that are there.
        found: Vec<TokenSummary>,
    },
    /// More than one token answers to label and serial, so neither can be trusted to be the one.
    #[error("{count} tokens are labelled {label:?} with serial {serial:?}")]
    Ambiguous {
        /// Label asked for.
        label: String,
        /// Serial asked for.
        serial: String,
        /// How many.
        count: usize,
    },
    /// The token refused the PIN. It was tried once.
    #[error(
        "token {label:?} refused the PIN of {pin}, which was tried once and is not tried again"
    )]
    WrongPin {
        /// Label of the token.
        label: String,
        /// Where the PIN came from.
        pin: PinSource,
        /// `C_Login`'s answer.
        source: CallError,
    },
    /// A key that this token has to hold is not there, or must not be used: it is another token
    /// of the same label and serial, or its content was exchanged.
    #[error("the token is not the one it was")]
    Demanded(#[source] FindError),
    /// The PIN file was refused before the token saw it.
    #[error(transparent)]
    Pin(#[from] ConfigError),
    /// A PKCS#11 call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why a signature was not made, or not released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The token or its pool failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The key is not in the token.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The token returned something that its own public key does not verify.
    #[error(
        "C_Sign: the token returned a signature that key {0} does not verify; it was not released"
    )]
    NotVerified(SpkiId),
}

impl Token {
    /// Opens and logs in the token that `config` names, with at most `sessions` (1 to
    /// [`SESSIONS_MAX`](crate::SESSIONS_MAX)) signing sessions.
    ///
    /// # Errors
    /// [`OpenError`]. The PIN is offered once: tokens lock after a few wrong ones.
    pub fn open(
        module: &Module,
        config: &TokenConfig,
        sessions: usize,
    ) -> Result<Token, OpenError> {
        let loaded = Arc::clone(&module.loaded);
        let live = Live::open(&loaded, config, sessions, &[])?;
        loaded.token_opened();
        Ok(Token {
            gate: Gate::open(live),
            config: config.clone(),
            sessions,
            demanded: Mutex::new(Vec::new()),
            errors: ErrorCounts::default(),
            module: loaded,
        })
    }

    /// Says which keys make this token the one it is: from now on a token without one of them is
    /// refused after a repair.
    ///
    /// # Errors
    /// [`FindError`]: one is not there now, or must not be used.
    pub fn demand(&self, ids: &[SpkiId]) -> Result<(), FindError> {
        for id in ids {
            self.key(*id)?;
        }
        *self.demanded.lock().unwrap_or_else(PoisonError::into_inner) = ids.to_vec();
        Ok(())
    }

    pub(crate) fn pkcs11(&self) -> &Pkcs11 {
        &self.module.pkcs11
    }

    pub(crate) fn label(&self) -> &str {
        &self.config.label
    }

    pub(crate) fn serial(&self) -> &str {
        &self.config.serial
    }

    /// Label, serial and model.
    pub fn summary(&self) -> TokenSummary {
        TokenSummary {
            label: self.config.label.clone(),
            serial: self.config.serial.clone(),
            model: self
                .peek(|live| live.summary.model.clone())
                .unwrap_or_else(|| AWAY.to_owned()),
            manufacturer: self
                .peek(|live| live.summary.manufacturer.clone())
                .unwrap_or_else(|| AWAY.to_owned()),
        }
    }

    /// Every key pair of the token, fit or not, in no particular order; none while it is away.
    pub fn keys(&self) -> Vec<KeyPair> {
        self.peek(Live::pairs).into_iter().flatten().collect()
    }

    /// Finds the one fit key whose SubjectPublicKeyInfo hashes to `id`.
    ///
    /// # Errors
    /// [`FindError`]: none, several, or one whose attributes are not the demanded ones.
    pub fn key(&self, id: SpkiId) -> Result<Key, FindError> {
        self.peek(|live| live.read_pairs(|pairs| keys::find(pairs, id)))
            .unwrap_or(Err(FindError::Missing(id)))
            .map(|(key, _)| key)
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.gate.health()
    }

    /// How often the module was initialised for it.
    pub fn generation(&self) -> u64 {
        self.gate.generation()
    }

    /// Failed calls since it was opened, by class; repaired ones count as well.
    pub fn errors(&self) -> [(ErrorClass, u64); ErrorClass::ALL.len()] {
        ErrorClass::ALL.map(|class| (class, self.errors.0[class as usize].load(Ordering::Relaxed)))
    }

    /// What has to be done now and then, about once a second: repairs a token that is away, keeps
    /// idle sessions alive, and looks whether an idle token still shows its keys. Without it a broken token waits for the next request.
    pub fn tend(&self) {
        match self.gate.enter_now() {
            Some(Entered::ToRepair(repair)) => self.repair(repair),
            Some(Entered::Inside(live)) => {
                if let Err(error) = live.keep_alive(&self.demanded()) {
                    let reason = error.to_string();
                    match error {
                        NotAlive::Call(error) => {
                            self.note(&error);
                            match error.class().remedy(0) {
                                Remedy::NewGeneration | Remedy::AnotherSession => {
                                    live.condemn(reason);
                                }
                                Remedy::GiveUp => {}
                            }
                        }
                        NotAlive::Gone => live.condemn(reason),
                    }
                }
            }
            None => {}
        }
    }

    /// Random bytes of the token's generator.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(crate) fn random(&self, length: u32) -> Result<Vec<u8>, PoolError> {
        let deadline = Instant::now() + PATIENCE;
        self.climb(deadline, |live| live.random(length, deadline))
    }

    /// Hashes, signs and verifies. Only typed signing in this crate may call it.
    pub(crate) fn sign(&self, key: &Key, message: &[u8]) -> Result<VerifiedSignature, SignError> {
        let digest = Digest::of(key.public().curve(), message);
        let raw = self.sign_digest(key.id(), &digest, Instant::now() + PATIENCE)?;
        // A fault in the device can reveal the key through one bad signature.
        key.public()
            .verify(&digest, &raw)
            .ok_or(SignError::NotVerified(key.id()))
    }

    /// Signs and does not verify: the caller does, with a public key that it has from elsewhere.
    pub(crate) fn sign_digest(
        &self,
        id: SpkiId,
        digest: &Digest,
        deadline: Instant,
    ) -> Result<Vec<u8>, SignError> {
        self.climb(deadline, |live| {
            let key = live.find(id)?;
            Ok(live.sign(key, digest, deadline)?)
        })
    }

    /// A read-write session for key generation, and the place inside that keeps it valid.
    pub(crate) fn write<T, E: From<CallError> + From<Outage>>(
        &self,
        work: impl FnOnce(&Session, &dyn Fn(&Session) -> Result<(), CallError>) -> Result<T, E>,
    ) -> Result<T, E> {
        let live = self.enter(Instant::now() + PATIENCE)?;
        let session = live.rw_session(&self.module)?;
        work(&session, &|session| live.rescan(session))
    }

    pub(crate) fn handle(&self, id: SpkiId) -> Option<ObjectHandle> {
        self.peek(|live| live.handle(id).ok()).flatten()
    }

    /// Runs `work`, and again as far as the ladder of its failures allows.
    fn climb<T, E: Failure>(
        &self,
        deadline: Instant,
        work: impl Fn(&Live) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut failures = 0;
        loop {
            let live = self.enter(deadline)?;
            let error = match work(&live) {
                Ok(value) => {
                    live.worked();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let Some(call) = error.call() else {
                return Err(error);
            };
            self.note(call);
            match call.class().remedy(failures) {
                Remedy::GiveUp => return Err(error),
                Remedy::AnotherSession => live.evict_idle(),
                Remedy::NewGeneration => live.condemn(call.to_string()),
            }
            failures += 1;
            if Instant::now() >= deadline {
                return Err(error);
            }
        }
    }

    fn enter(&self, deadline: Instant) -> Result<Inside<'_, Live>, Outage> {
        loop {
            match self.gate.enter(deadline)? {
                Entered::Inside(live) => return Ok(live),
                Entered::ToRepair(repair) => self.repair(repair),
            }
        }
    }

    /// What can be said without waiting.
    fn peek<T>(&self, look: impl FnOnce(&Live) -> T) -> Option<T> {
        match self.gate.enter_now() {
            Some(Entered::Inside(live)) => Some(look(&live)),
            Some(Entered::ToRepair(repair)) => {
                self.repair(repair);
                None
            }
            None => None,
        }
    }

    /// Finalise, initialise, find the token, log in, find the keys, compare them, try them.
    fn repair(&self, repair: Repair<'_, Live>) {
        let begun = Instant::now();
        let demanded = self.demanded();
        let opened = self
            .module
            .initialize_again()
            .map_err(OpenError::from)
            .and_then(|()| Live::open(&self.module, &self.config, self.sessions, &demanded));
        match opened {
            Ok(live) => {
                repair.done(live);
                let took_ms = begun.elapsed().as_millis();
                tracing::info!(token = self.config.label, took_ms, "the token is back");
            }
            Err(error @ (OpenError::WrongPin { .. } | OpenError::Pin(_))) => {
                let reason = chain(&error);
                tracing::error!(token = self.config.label, reason, "the token is sealed");
                repair.seal(reason);
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(token = self.config.label, reason, "the token is still away");
                repair.failed(reason);
            }
        }
    }

    fn demanded(&self) -> Vec<SpkiId> {
        let demanded = self.demanded.lock();
        demanded.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: &CallError) {
        let class = error.class();
        let count = self.errors.0[class as usize].fetch_add(1, Ordering::Relaxed);
        // The first of a kind tells the story; a count is enough for the others.
        if count == 0 || class == ErrorClass::Request {
            tracing::warn!(token = self.config.label, %error, class = class.name(), "a call failed");
        }
    }
}

/// An error that may be a failed PKCS#11 call.
trait Failure: From<Outage> {
    fn call(&self) -> Option<&CallError>;
}

impl Failure for PoolError {
    fn call(&self) -> Option<&CallError> {
        match self {
            PoolError::Call(error) => Some(error),
            PoolError::Busy { .. } | PoolError::Outage(_) => None,
        }
    }
}

impl Failure for SignError {
    fn call(&self) -> Option<&CallError> {
        match self {
            SignError::Pool(error) => error.call(),
            SignError::Find(_) | SignError::NotVerified(_) => None,
        }
    }
}

impl From<Outage> for SignError {
    fn from(outage: Outage) -> SignError {
        SignError::Pool(outage.into())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.module.token_closed();
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Token").field(&self.config.label).finish()
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn list(tokens: &[TokenSummary]) -> String {
    if tokens.is_empty() {
        return "no initialised token".to_owned();
    }
    let names: Vec<_> = tokens
        .iter()
        .map(|token| format!("{:?} (serial {})", token.label, token.serial))
        .collect();
    names.join(", ")
}
