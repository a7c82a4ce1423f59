//! The log's own key: it signs checkpoints of this log, and nothing else reaches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_kms_audit::{CheckpointSigner, SignFailed};
use obol_kms_client::SpkiId;
use obol_kms_policy::{Client, Context, Hour, Policy, Question, Role};
use obol_kms_registry::{Class, PayloadType, Registry};
use obol_log::LogKey;

use crate::digest::Digest;
use crate::engine::Clock;
use crate::engine::error::EngineError;
use crate::engine::names::{policy_class, policy_payload, registry_id};
use crate::payload::TypedPayload;
use crate::public_key::PublicKey;
use crate::signer::Backend;

/// A checkpoint that takes longer is tried again later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Signs checkpoints with a key of class audit, which registry, policy and quota must let sign as
/// any other. It leaves no leaf: each checkpoint would then call for the next.
pub(super) struct TokenLogSigner {
    pub(super) key: LogKey,
    pub(super) id: SpkiId,
    pub(super) public: PublicKey,
    pub(super) backend: Backend,
    pub(super) registry: Arc<Registry>,
    pub(super) policy: Arc<Policy>,
    pub(super) clock: Clock,
}

impl CheckpointSigner for TokenLogSigner {
    fn key(&self) -> &LogKey {
        &self.key
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        Ok(self.checked(text)?)
    }
}

impl TokenLogSigner {
    fn checked(&self, text: &str) -> Result<[u8; 64], EngineError> {
        const PAYLOAD: PayloadType = PayloadType::LogCheckpoint;
        let now = (self.clock)();
        let typed = TypedPayload::parse(PAYLOAD, text.as_bytes())?;
        typed.permitted_for(Class::Audit)?;
        let signable = self.registry.signable(registry_id(self.id), PAYLOAD, now)?;
        let daemon = Client::new(Role::Daemon, DAEMON).expect("a short printable name");
        self.policy.decide(&Question {
            client: daemon,
            spki: self.id.0,
            class: policy_class(signable.class()),
            payload: policy_payload(PAYLOAD),
            context: Context {
                hour: Hour::of(now.0),
                batch: std::num::NonZeroU32::MIN,
                approvals: 0,
            },
        })?;
        self.registry.count(&signable, DAEMON, now)?;
        let message = typed.signature_input(&self.public)?;
        let digest = Digest::of(self.public.curve(), &message);
        let deadline = Instant::now() + PATIENCE;
        let raw = self.backend.0.sign(self.id, &digest, deadline)?;
        let signature = self
            .public
            .verify(&digest, &raw)
            .ok_or(EngineError::NotVerified(self.id))?;
        signature
            .to_raw()
            .try_into()
            .map_err(|_| EngineError::Rule("the log's key is not on P-256"))
    }
}

/// How the daemon is named where it asks itself.
const DAEMON: &str = "obol-kms";
