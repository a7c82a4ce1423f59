//! What the engine says, in the words of the socket.

use std::sync::Arc;

use obol_kms_client::wire::{
    Answer, KEYS_MAX, RefusalKind, TokenHealth, WireAudit, WireKey, WireToken,
};
use obol_kms_policy::Client;
use obol_kms_registry::{CountError, NotSignable};

use crate::daemon::dispatch::DispatchError;
use crate::engine::{Engine, EngineError, KeyEntry, ProofRefused};
use crate::gate::Health;
use crate::signer::{SignerError, TokenStatus};
use crate::token::chain;

pub(super) fn keys(engine: &Engine) -> Answer {
    match engine.keys() {
        Ok(keys) if keys.len() > KEYS_MAX => Answer::Refused {
            code: RefusalKind::Unavailable,
            reason: format!("{} keys are more than one list holds", keys.len()),
        },
        Ok(keys) => Answer::Keys(keys.iter().map(wire_key).collect()),
        Err(fault) => refused(RefusalKind::Unavailable, &fault),
    }
}

fn wire_key(key: &KeyEntry) -> WireKey {
    WireKey {
        spki_der: key.public.spki_der().into(),
        algorithm: key.public.curve().algorithm().cose_id(),
        class: key.class,
        state: key.state,
        token: Some(key.token.clone()),
    }
}

pub(super) fn status(engine: &Engine) -> Answer {
    let audit = engine.audit();
    let stopped = audit.stopped.map(|why| why.to_string());
    let trouble = stopped.or(audit.unsigned).or(audit.unwitnessed);
    Answer::Status {
        tokens: engine.tokens().into_iter().map(wire_token).collect(),
        audit: WireAudit {
            leaves: audit.leaves,
            signed: audit.signed,
            witnessed: audit.witnessed,
            trouble,
        },
    }
}

/// Reads the log's files, which may wait for the disk.
pub(super) async fn proof(engine: &Arc<Engine>, leaf: u64, client: Client) -> Answer {
    let engine = Arc::clone(engine);
    let proved = tokio::task::spawn_blocking(move || engine.prove(leaf, &client)).await;
    match proved {
        Ok(Ok(proof)) => Answer::Proof {
            proof: proof.to_text(),
            entry: proof.entry.into(),
        },
        Ok(Err(error)) => {
            let code = match error {
                ProofRefused::Unknown(_) => RefusalKind::UnknownLeaf,
                ProofRefused::NotCovered { .. } => RefusalKind::NotCovered,
                ProofRefused::Read(_) => RefusalKind::Unavailable,
            };
            refused(code, &error)
        }
        Err(error) => refused(RefusalKind::Unavailable, &error),
    }
}

fn wire_token(token: TokenStatus) -> WireToken {
    let health = match token.health {
        Health::Ready => TokenHealth::Ready,
        Health::Degraded { reason, .. } => TokenHealth::Degraded(reason),
        Health::Sealed { reason } => TokenHealth::Sealed(reason),
    };
    WireToken {
        label: token.label,
        serial: token.serial,
        health,
        restarts: token.restarts,
    }
}

pub(super) fn kind_of(error: &DispatchError) -> RefusalKind {
    match error {
        DispatchError::Full(_) | DispatchError::TooLate { .. } => RefusalKind::Busy,
        DispatchError::Deadline => RefusalKind::Timeout,
        DispatchError::Engine(error) => match error {
            EngineError::UnknownKey(_) => RefusalKind::UnknownKey,
            EngineError::Payload(_)
            | EngineError::Claims(_)
            | EngineError::Lint(_)
            | EngineError::Rule(_) => RefusalKind::PayloadRefused,
            EngineError::NotSignable(NotSignable::Fault(_))
            | EngineError::Count(CountError::Fault(_))
            | EngineError::Registry(_)
            | EngineError::Audit(_) => RefusalKind::Unavailable,
            EngineError::NotSignable(_) => RefusalKind::KeyState,
            EngineError::Denied(_) => RefusalKind::Denied,
            EngineError::Count(_) => RefusalKind::Quota,
            EngineError::Signer(SignerError::Timeout(_)) => RefusalKind::Timeout,
            EngineError::Signer(_) | EngineError::NotVerified(_) => RefusalKind::TokenFailure,
        },
    }
}

pub(super) fn refused(code: RefusalKind, error: &dyn std::error::Error) -> Answer {
    Answer::Refused {
        code,
        reason: chain(error),
    }
}
