use std::sync::Arc;
use std::time::Instant;

use obol_credential::Algorithm;
use obol_kms_client::{DEADLINE_MAX, KeyInfo, KeyState, KmsClient, PayloadType, SpkiId};
use p256::ecdsa::VerifyingKey;

use super::{OnlineRole, RoleSigner, SignFailed};

/// Bytes of a P-256 SubjectPublicKeyInfo before its point (RFC 5480 section 2).
const SPKI_HEAD: usize = 26;

/// A role's key in the key management, which parses what it signs.
#[derive(Clone, Debug)]
pub struct KmsSigner {
    kms: Arc<KmsClient>,
    spki: SpkiId,
    key: VerifyingKey,
}

impl KmsSigner {
    /// The key `spki`, to sign for `role`.
    ///
    /// # Errors
    /// [`SignFailed`] when the daemon does not serve it, or it is not on P-256.
    pub async fn find(
        kms: &Arc<KmsClient>,
        role: OnlineRole,
        spki: SpkiId,
    ) -> Result<Self, SignFailed> {
        let keys = kms.keys().await;
        let keys = keys.map_err(|error| SignFailed::new(role, error.into()))?;
        let found = keys.iter().find(|key| key.spki == spki);
        let key = found.and_then(p256);
        let reason = || format!("the key management serves no P-256 key {spki}");
        let key = key.ok_or_else(|| SignFailed::new(role, reason().into()))?;
        let kms = Arc::clone(kms);
        Ok(Self { kms, spki, key })
    }
}

fn p256(key: &KeyInfo) -> Option<VerifyingKey> {
    let point = key.spki_der.get(SPKI_HEAD..);
    let point = point.filter(|_| key.algorithm == Algorithm::Esp256)?;
    VerifyingKey::from_sec1_bytes(point).ok()
}

impl RoleSigner for KmsSigner {
    fn key(&self) -> &VerifyingKey {
        &self.key
    }

    async fn sign(&self, role: OnlineRole, canonical: &[u8]) -> Result<[u8; 64], SignFailed> {
        let payload_type = match role {
            OnlineRole::Timestamp => PayloadType::TufTimestamp,
            OnlineRole::Snapshot => PayloadType::TufSnapshot,
            OnlineRole::Denylist | OnlineRole::Fares => PayloadType::TufTargets,
        };
        let until = Instant::now() + DEADLINE_MAX;
        let signed = self
            .kms
            .sign(self.spki, payload_type, canonical, until)
            .await;
        let signed = signed.map_err(|error| SignFailed::new(role, error.into()))?;
        let wrong = || SignFailed::new(role, "a signature of another length".into());
        signed.to_raw().try_into().map_err(|_| wrong())
    }

    async fn successor(
        &self,
        role: OnlineRole,
        named: &[VerifyingKey],
    ) -> Result<Option<Self>, SignFailed> {
        let keys = self.kms.keys().await;
        let keys = keys.map_err(|error| SignFailed::new(role, error.into()))?;
        let active = keys.iter().filter(|key| key.state == KeyState::Active);
        let mut found = active.filter_map(|info| Some((info.spki, p256(info)?)));
        let successor = found.find(|(_, key)| named.contains(key));
        Ok(successor.map(|(spki, key)| {
            let kms = Arc::clone(&self.kms);
            Self { kms, spki, key }
        }))
    }
}
