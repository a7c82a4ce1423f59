//! An engine from its parts.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use obol_kms_audit::{AuditLog, OpenError, ReadError, Trusted};
use obol_kms_client::SpkiId;
use obol_kms_policy::Policy;
use obol_kms_registry::{Class, Fault, Registry, State};
use obol_log::{Checkpoint, LogKey};

use crate::engine::checkpoint::TokenLogSigner;
use crate::engine::names::wire_id;
use crate::engine::served::{Served, ServedKey};
use crate::engine::{Clock, Engine, Figures, size_of};
use crate::signer::Backend;
use crate::x509::Rules;

/// What an engine is made of.
pub struct EngineSetup {
    /// Which keys there are, and in which state.
    pub registry: Registry,
    /// Who may have what signed.
    pub policy: Policy,
    /// What certificates and revocation lists are held to.
    pub rules: Rules,
    /// Tokens that hold keys of the registry: at least one, each serial number once.
    pub tokens: Vec<Backend>,
    /// Where every decision is recorded.
    pub audit: AuditSetup,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The audit log.
pub struct AuditSetup {
    /// Its folder, which must exist; it is in use by one engine at a time.
    pub folder: PathBuf,
    /// Its name for ever: a URL without scheme.
    pub origin: String,
    /// The key of class audit that signs its checkpoints; `None` takes the only active one.
    pub key: Option<SpkiId>,
    /// The last tree head that was kept elsewhere, such as at a witness: a log that does not
    /// continue it does not open.
    pub kept: Option<Checkpoint>,
}

/// Why an engine was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] Fault),
    /// Two tokens with one serial number.
    #[error("two tokens have serial {0:?}")]
    TwoTokens(String),
    /// No key may sign the log's checkpoints.
    #[error("no active key of class audit in these tokens may sign the log's checkpoints")]
    NoAuditKey,
    /// More than one may.
    #[error("{0} active keys of class audit are in these tokens; one must be named")]
    ManyAuditKeys(usize),
    /// The key that was named may not.
    #[error("key {0} is no active key of class audit in these tokens")]
    NotAnAuditKey(SpkiId),
    /// The origin and the key make no log key.
    #[error("origin {0:?} names no log")]
    Origin(String),
    /// The log does not open: it is damaged, rolled back, or in use.
    #[error("the audit log {} does not open", folder.display())]
    Log {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// Its witnessed checkpoint cannot be read.
    #[error(transparent)]
    Witnessed(#[from] ReadError),
}

impl Engine {
    /// Opens an engine: its log continues every checkpoint that is known of it.
    ///
    /// # Errors
    /// [`OpenEngineError`]; nothing was changed but what a crash had left in the log.
    pub fn open(setup: EngineSetup) -> Result<Engine, OpenEngineError> {
        let serials = serials(&setup.tokens)?;
        let served = Served::new(serials);
        let (registry, policy) = (Arc::new(setup.registry), Arc::new(setup.policy));
        let AuditSetup {
            folder,
            origin,
            key,
            kept,
        } = setup.audit;
        let (chosen, others) = audit_keys(&served, &registry, key)?;
        let log_key = |key: &ServedKey| {
            LogKey::from_spki_der(&origin, &key.public.spki_der())
                .ok_or_else(|| OpenEngineError::Origin(origin.clone()))
        };
        let former_keys = others.iter().map(log_key).collect::<Result<_, _>>()?;
        let signer = TokenLogSigner {
            key: log_key(&chosen)?,
            id: chosen.id,
            backend: setup.tokens[chosen.token].clone(),
            public: chosen.public,
            registry: Arc::clone(&registry),
            policy: Arc::clone(&policy),
            clock: setup.clock,
        };
        let trusted = Trusted { former_keys, kept };
        let log = AuditLog::open(&folder, &origin, Arc::new(signer), &trusted)
            .map_err(|source| OpenEngineError::Log { folder, source })?;
        let witnessed = log.witnessed()?.map_or(0, |(head, _)| head.size);
        let signed = log.published().as_ref().map_or(0, size_of);
        Ok(Engine {
            tokens: setup.tokens,
            served,
            registry,
            policy,
            rules: setup.rules,
            log,
            clock: setup.clock,
            figures: Figures::default(),
            signed: AtomicU64::new(signed),
            witnessed: AtomicU64::new(witnessed),
            unsigned: Mutex::default(),
            unwitnessed: Mutex::default(),
        })
    }
}

fn serials(tokens: &[Backend]) -> Result<Vec<String>, OpenEngineError> {
    let mut serials: Vec<String> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let serial = token.0.status().serial;
        if serials.contains(&serial) {
            return Err(OpenEngineError::TwoTokens(serial));
        }
        serials.push(serial);
    }
    Ok(serials)
}

/// The key that signs the log, and those that may have signed it before.
fn audit_keys(
    served: &Served,
    registry: &Registry,
    wanted: Option<SpkiId>,
) -> Result<(ServedKey, Vec<ServedKey>), OpenEngineError> {
    let keys = served.list(registry)?.into_iter();
    let of_class = keys.filter(|(key, _)| key.class == Class::Audit);
    let (active, mut others): (Vec<_>, Vec<_>) =
        of_class.partition(|(_, state)| *state == State::Active);
    let mut active: Vec<ServedKey> = active.into_iter().map(|(key, _)| key).collect();
    let mut former: Vec<ServedKey> = others.drain(..).map(|(key, _)| key).collect();
    let at = match wanted {
        Some(id) => active
            .iter()
            .position(|key| key.id == id)
            .ok_or(OpenEngineError::NotAnAuditKey(id))?,
        None if active.len() > 1 => return Err(OpenEngineError::ManyAuditKeys(active.len())),
        None if active.is_empty() => return Err(OpenEngineError::NoAuditKey),
        None => 0,
    };
    let chosen = active.swap_remove(at);
    former.append(&mut active);
    Ok((chosen, former))
}

/// The keys of a registry that a token with this serial number must have: those that sign.
///
/// # Errors
/// [`Fault`].
pub(crate) fn demanded(registry: &Registry, serial: &str) -> Result<Vec<SpkiId>, Fault> {
    let records = registry.list()?.into_iter();
    let active = records.filter(|key| key.state == State::Active && key.token_serial == serial);
    Ok(active.map(|key| wire_id(key.spki)).collect())
}
