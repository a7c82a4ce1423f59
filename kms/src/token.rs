//! One token: found by label and serial, logged in once, its keys found by their public half.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cryptoki::error::RvError;
use cryptoki::mechanism::Mechanism;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use obol_kms_client::SpkiId;

use crate::config::{ConfigError, PinSource, TokenConfig};
use crate::digest::Digest;
use crate::error::CallError;
use crate::keys::{self, FindError, Key, KeyPair};
use crate::module::{Loaded, Module, TokenSummary};
use crate::pool::{PoolError, SessionPool};
use crate::public_key::VerifiedSignature;

/// An open token: logged in, its keys known.
///
/// One idle *anchor session* holds the login: when the last session of a token closes, the module
/// logs out and private keys become invisible without any error. Handles are read once per login,
/// because `C_FindObjects` is linear in the number of objects.
pub struct Token {
    pool: SessionPool,
    // Dropped after the pool and before the module.
    _anchor: Mutex<Session>,
    keys: RwLock<Vec<KeyPair>>,
    summary: TokenSummary,
    slot: Slot,
    module: Arc<Loaded>,
}

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
        let (slot, summary) = locate(module, config)?;
        let pin = config.read_pin()?;
        let anchor = loaded
            .pkcs11
            .open_ro_session(slot)
            .map_err(CallError::from)?;
        match anchor
            .login(UserType::User, Some(pin.as_auth_pin()))
            .map_err(CallError::from)
        {
            Ok(()) => {}
            // The login belongs to process and token, so another `Token` may have done it.
            Err(error) if error.is(RvError::UserAlreadyLoggedIn) => {}
            Err(source) if is_pin_refusal(&source) => {
                return Err(OpenError::WrongPin {
                    label: summary.label,
                    pin: config.pin.clone(),
                    source,
                });
            }
            Err(error) => return Err(error.into()),
        }
        let keys = RwLock::new(keys::scan(&anchor)?);
        let pool = SessionPool::new(loaded.pkcs11.clone(), slot, sessions);
        Ok(Token {
            pool,
            _anchor: Mutex::new(anchor),
            keys,
            summary,
            slot,
            module: loaded,
        })
    }

    /// Label, serial and model.
    pub fn summary(&self) -> &TokenSummary {
        &self.summary
    }

    /// Every key pair of the token, fit or not, in no particular order.
    pub fn keys(&self) -> Vec<KeyPair> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Finds the one fit key whose SubjectPublicKeyInfo hashes to `id`.
    ///
    /// # Errors
    /// [`FindError`]: none, several, or one whose attributes are not the demanded ones.
    pub fn key(&self, id: SpkiId) -> Result<Key, FindError> {
        keys::find(
            &self.keys.read().unwrap_or_else(PoisonError::into_inner),
            id,
        )
    }

    /// Random bytes of the token's generator.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(crate) fn random(&self, length: u32) -> Result<Vec<u8>, PoolError> {
        self.pool
            .with(|session| session.generate_random_vec(length))
    }

    /// Hashes, signs and verifies. Only typed signing in this crate may call it.
    pub(crate) fn sign(&self, key: &Key, message: &[u8]) -> Result<VerifiedSignature, SignError> {
        let digest = Digest::of(key.public().curve(), message);
        let raw = self
            .pool
            .with(|session| session.sign(&Mechanism::Ecdsa, key.handle(), digest.as_bytes()))?;
        // A fault in the device can reveal the key through one bad signature.
        key.public()
            .verify(&digest, &raw)
            .ok_or(SignError::NotVerified(key.id()))
    }

    /// A read-write session for key generation; it shares the anchor's login.
    pub(crate) fn rw_session(&self) -> Result<Session, CallError> {
        Ok(self.module.pkcs11.open_rw_session(self.slot)?)
    }

    pub(crate) fn rescan(&self, session: &Session) -> Result<(), CallError> {
        let fresh = keys::scan(session)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Token").field(&self.summary).finish()
    }
}

fn locate(module: &Module, config: &TokenConfig) -> Result<(Slot, TokenSummary), OpenError> {
    let all = module.loaded.tokens()?;
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
            module: module.path().to_path_buf(),
            found: all.into_iter().map(|(_, token)| token).collect(),
        }),
    }
}

fn is_pin_refusal(error: &CallError) -> bool {
    [
        RvError::PinIncorrect,
        RvError::PinInvalid,
        RvError::PinLenRange,
        RvError::PinLocked,
    ]
    .into_iter()
    .any(|refusal| error.is(refusal))
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
