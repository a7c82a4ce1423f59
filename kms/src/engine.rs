//! Typed signing: every request is parsed, judged, asked of registry and policy, counted, recorded,
//! and only then signed.
//!
//! ```text
//!  payload ─▶ parsed again ─▶ hard rules ─▶ registry ─▶ policy ─▶ quota ─▶ leaf on the medium
//!                 │               │            │          │         │             │
//!                 └── refused: a leaf as well, nothing is signed ───┘        hash, token,
//!                                                               released ◀── verified
//! ```
//!
//! The same engine stands behind the daemon's socket and in an integrator's own process; only where
//! the token lives differs ([`Backend`]). Nothing here takes a digest:
//!
//! ```compile_fail,E0616
//! fn a_digest_cannot_be_signed(backend: &obol_kms::Backend) {
//!     let signer = &backend.0; // the signer behind it is private to the crate
//! }
//! ```

mod checkpoint;
mod error;
mod figures;
mod names;
mod open;
mod proof;
mod rules;
mod served;
mod trail;
mod witnessed;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use obol_credential::UnixTime;
use obol_kms_audit::{AuditError, AuditLog};
use obol_kms_client::{KeyClass, KeyState, SpkiId};
use obol_kms_policy::{Approved, Client, Context, Hour, Policy, Question};
use obol_kms_registry::{Fault, PayloadType, Registry, Signable};
use obol_log::{Checkpoint, Note};
use sha2::{Digest as _, Sha256};

use crate::public_key::{PublicKey, VerifiedSignature};
use crate::signer::{Backend, TokenStatus};
use crate::token::chain;
use crate::x509::Rules;

pub use error::EngineError;
pub(crate) use error::Outcome;
pub(crate) use figures::{BUCKETS_US, Figures};
pub(crate) use names::payload_of;
pub(crate) use open::demanded;
pub use open::{AuditSetup, EngineSetup, OpenEngineError};
pub use proof::ProofRefused;
use rules::ToSign;
use served::{Found, Served, ServedKey};
use trail::{Asked, NO_CLASS, Recorded};

/// Where the engine takes the time from.
pub type Clock = fn() -> UnixTime;

/// A checkpoint is due after this time, if there are new leaves.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// A checkpoint is due at once after so many leaves.
const CHECKPOINT_LEAVES: u64 = 1_000;

/// Typed signing with the keys of some tokens. Threads share it.
pub struct Engine {
    tokens: Vec<Backend>,
    served: Served,
    registry: Arc<Registry>,
    policy: Arc<Policy>,
    rules: Rules,
    log: AuditLog,
    clock: Clock,
    figures: Figures,
    /// Leaves that the last signed, and the last witnessed checkpoint cover.
    signed: AtomicU64,
    witnessed: AtomicU64,
    /// Why the last try for either failed.
    unsigned: Mutex<Option<String>>,
    unwitnessed: Mutex<Option<String>>,
}

/// What shall be signed by which key; the payload is parsed here again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// SPKI id of the key.
    pub key: SpkiId,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// 1 byte to 8 MiB.
    pub payload: Vec<u8>,
}

/// A verified signature and the leaf that approved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signature.
    pub signature: VerifiedSignature,
    /// Its place in the audit log.
    pub leaf: u64,
    /// The key that signed, as in the leaf.
    pub key: SpkiId,
    /// SHA-256 of the bytes that were signed, as in the leaf.
    pub hash: [u8; 32],
}

/// A key as others may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// The public half.
    pub public: PublicKey,
    /// What it is for.
    pub class: KeyClass,
    /// Its state now.
    pub state: KeyState,
    /// Serial number of its token.
    pub token: String,
}

/// How the audit log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditStatus {
    /// Leaves that are durable.
    pub leaves: u64,
    /// Leaves that the last signed checkpoint covers.
    pub signed: u64,
    /// Leaves that the last witnessed checkpoint covers.
    pub witnessed: u64,
    /// Why nothing is appended any more, if so.
    pub stopped: Option<Arc<str>>,
    /// Why there is no new signed checkpoint, if so.
    pub unsigned: Option<String>,
    /// Why there is no new witnessed checkpoint, if so.
    pub unwitnessed: Option<String>,
}

impl Engine {
    /// Signs. It blocks, at the latest until `deadline`; a token in this process whose module hangs
    /// keeps it longer. Whether it signs or refuses, a leaf of the audit log says so.
    ///
    /// # Errors
    /// [`EngineError`]; nothing was released then.
    pub fn sign(
        &self,
        request: &Request,
        client: &Client,
        deadline: Instant,
    ) -> Result<Signed, EngineError> {
        let begun = Instant::now();
        let _visit = self.log.visit();
        let result = self.sign_recorded(request, client, deadline);
        let outcome = match &result {
            Ok(_) => Outcome::Signed,
            Err(error) => error.outcome(),
        };
        self.figures
            .note(request.payload_type, outcome, begun.elapsed());
        result
    }

    fn sign_recorded(
        &self,
        request: &Request,
        client: &Client,
        deadline: Instant,
    ) -> Result<Signed, EngineError> {
        let mut asked = Asked {
            time: (self.clock)(),
            actor: client.name(),
            key: request.key,
            class: NO_CLASS,
            payload_type: request.payload_type,
            hash: [0; 32],
        };
        let (key, recorded) = match self.approve(request, client, &mut asked) {
            Ok(approved) => approved,
            // Without a log there is nowhere to say so.
            Err(error @ EngineError::Audit(_)) => return Err(error),
            Err(refusal) => {
                if asked.hash == [0; 32] {
                    asked.hash = Sha256::digest(&request.payload).into();
                }
                trail::deny(&self.log, &asked, &refusal)?;
                return Err(refusal);
            }
        };
        let signed = self.ask_token(&key, &recorded, deadline);
        if let Err(failure) = &signed {
            trail::fail(&self.log, &asked, &recorded, failure)?;
        }
        signed
    }

    /// Everything before the token is asked.
    fn approve(
        &self,
        request: &Request,
        client: &Client,
        asked: &mut Asked<'_>,
    ) -> Result<(Arc<ServedKey>, Recorded), EngineError> {
        let now = asked.time;
        let (id, payload_type) = (request.key, request.payload_type);
        let key = self.find(id, asked)?;
        let judged = self.judge(&key, request, asked)?;
        let signable = self
            .registry
            .signable(names::registry_id(id), payload_type, now)?;
        // A change since the key was parsed may have brought another certificate.
        let (key, to_sign) = if signable.version() == key.version {
            (key, judged)
        } else {
            let key = self.reread(id, asked)?;
            let judged = self.judge(&key, request, asked)?;
            (key, judged)
        };
        let approved = self.decide(client, &signable, now)?;
        let counted = self.registry.count(&signable, client.name(), now)?;
        let recorded = trail::approve(&self.log, asked, to_sign, &approved, counted)?;
        Ok((key, recorded))
    }

    fn find(&self, id: SpkiId, asked: &mut Asked<'_>) -> Result<Arc<ServedKey>, EngineError> {
        served_or_refused(self.served.find(&self.registry, id)?, id, asked)
    }

    fn reread(&self, id: SpkiId, asked: &mut Asked<'_>) -> Result<Arc<ServedKey>, EngineError> {
        served_or_refused(self.served.read(&self.registry, id)?, id, asked)
    }

    fn judge(
        &self,
        key: &ServedKey,
        request: &Request,
        asked: &mut Asked<'_>,
    ) -> Result<ToSign, EngineError> {
        let Request {
            payload_type,
            payload,
            ..
        } = request;
        let to_sign = rules::judge(&self.rules, key, *payload_type, payload, asked.time)?;
        asked.hash = to_sign.hash;
        Ok(to_sign)
    }

    fn decide(
        &self,
        client: &Client,
        signable: &Signable,
        now: UnixTime,
    ) -> Result<Approved, EngineError> {
        let question = Question {
            client: client.clone(),
            spki: signable.spki().0,
            class: names::policy_class(signable.class()),
            payload: names::policy_payload(signable.payload()),
            context: Context {
                hour: Hour::of(now.0),
                batch: NonZeroU32::MIN,
                // Officers approve in ceremonies and in the registry; no request carries approvals.
                approvals: 0,
            },
        };
        Ok(self.policy.decide(&question)?)
    }

    fn ask_token(
        &self,
        key: &ServedKey,
        recorded: &Recorded,
        deadline: Instant,
    ) -> Result<Signed, EngineError> {
        let digest = &recorded.to_sign.digest;
        let raw = self.tokens[key.token].0.sign(key.id, digest, deadline)?;
        // A fault in the device can reveal the key through one bad signature.
        let signature = key
            .public
            .verify(digest, &raw)
            .ok_or(EngineError::NotVerified(key.id))?;
        Ok(Signed {
            signature,
            leaf: recorded.leaf,
            key: key.id,
            hash: recorded.to_sign.hash,
        })
    }

    /// The keys of its tokens, in every state but destroyed.
    ///
    /// # Errors
    /// [`Fault`] when the registry cannot be read.
    pub fn keys(&self) -> Result<Vec<KeyEntry>, Fault> {
        let keys = self.served.list(&self.registry)?.into_iter();
        Ok(keys
            .map(|(key, state)| KeyEntry {
                public: key.public,
                class: names::wire_class(key.class),
                state: names::wire_state(state),
                token: self.served.serial(key.token).to_owned(),
            })
            .collect())
    }

    /// How its tokens are, in the order in which they were given.
    pub fn tokens(&self) -> Vec<TokenStatus> {
        self.tokens.iter().map(|token| token.0.status()).collect()
    }

    /// How its audit log is.
    pub fn audit(&self) -> AuditStatus {
        AuditStatus {
            leaves: self.log.size(),
            signed: self.signed.load(Ordering::Relaxed),
            witnessed: self.witnessed.load(Ordering::Relaxed),
            stopped: self.log.stopped(),
            unsigned: lock(&self.unsigned).clone(),
            unwitnessed: lock(&self.unwitnessed).clone(),
        }
    }

    /// The registry it asks.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The audit log, for proofs.
    pub fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Hash of the policy set it asks.
    pub fn policy_hash(&self) -> [u8; 32] {
        self.policy.hash()
    }

    /// What is due about once a second: repairs and keep-alive of tokens in this process.
    pub fn tend(&self) {
        self.tokens.iter().for_each(|token| token.0.tend());
    }

    /// Opens the audit log anew if it has stopped, as on a disk that was full: it goes on if it
    /// continues all that it has promised.
    ///
    /// # Errors
    /// [`obol_kms_audit::OpenError`]; it stays stopped, and nothing is signed.
    pub fn reopen_log(&self) -> Result<(), obol_kms_audit::OpenError> {
        self.log.reopen()
    }

    /// Whether a checkpoint is due, when the last one was signed `since` ago: each second with new
    /// leaves, at once with 1 000.
    pub fn checkpoint_is_due(&self, since: Duration) -> bool {
        let fresh = self.log.size() - self.signed.load(Ordering::Relaxed);
        fresh >= CHECKPOINT_LEAVES || (fresh > 0 && since >= CHECKPOINT_EVERY)
    }

    /// Signs the log as it stands with its own key, and publishes it. Entries are taken meanwhile.
    ///
    /// # Errors
    /// [`AuditError`]; the log goes on without a new checkpoint, unless it has stopped.
    pub fn checkpoint(&self) -> Result<Note, AuditError> {
        let result = self.log.checkpoint();
        let failure = result.as_ref().err();
        *lock(&self.unsigned) = failure.map(|error| {
            let error = chain(error);
            format!("the audit log has no new checkpoint: {error}")
        });
        let note = result?;
        self.signed.fetch_max(size_of(&note), Ordering::Relaxed);
        Ok(note)
    }

    /// The class and token of a key, to queue a request where it belongs; `None` for a key that is
    /// not served, which any queue refuses.
    pub(crate) fn token_of(&self, id: SpkiId) -> Option<usize> {
        match self.served.find(&self.registry, id) {
            Ok(Found::Served(key)) => Some(key.token),
            _ => None,
        }
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }
}

fn served_or_refused(
    found: Found,
    id: SpkiId,
    asked: &mut Asked<'_>,
) -> Result<Arc<ServedKey>, EngineError> {
    match found {
        Found::Served(key) => {
            asked.class = key.class.name();
            Ok(key)
        }
        Found::Elsewhere(class) => {
            asked.class = class.name();
            Err(EngineError::UnknownKey(id))
        }
        Found::Unknown => Err(EngineError::UnknownKey(id)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size_of(note: &Note) -> u64 {
    Checkpoint::parse(note.text()).map_or(0, |checkpoint| checkpoint.size)
}
