//! Hard rules: what no configuration and no policy can permit.

use obol_credential::UnixTime;
use obol_kms_registry::{Class, PayloadType};
use sha2::{Digest as _, Sha256};

use crate::credential::credential_to_sign;
use crate::digest::Digest;
use crate::engine::error::EngineError;
use crate::engine::served::ServedKey;
use crate::payload::TypedPayload;
use crate::x509::{Certificate, Rules};

/// What the bytes to be signed come to. Made by [`judge`] alone, after every rule held.
pub(super) struct ToSign {
    pub(super) digest: Digest,
    /// SHA-256 of the bytes to be signed, for the audit log.
    pub(super) hash: [u8; 32],
}

/// Parses the payload again and holds it to every hard rule of its type and of the key's class.
pub(super) fn judge(
    rules: &Rules,
    key: &ServedKey,
    payload_type: PayloadType,
    bytes: &[u8],
    now: UnixTime,
) -> Result<ToSign, EngineError> {
    if key.class == Class::Root {
        return Err(EngineError::Rule("a root key signs in ceremonies alone"));
    }
    let typed = TypedPayload::parse(payload_type, bytes)?;
    typed.permitted_for(key.class)?;
    let message = match &typed {
        TypedPayload::CredentialClaims(claims) => credential(key, claims, now)?,
        TypedPayload::TbsCertificate(tbs) => {
            tbs.lint(rules, Some(certificate(key)?), now)?;
            typed.signature_input(&key.public)?
        }
        TypedPayload::Crl(list) => {
            list.lint(rules, certificate(key)?, key.class, now)?;
            typed.signature_input(&key.public)?
        }
        TypedPayload::Tuf(metadata) if metadata.canonical() != bytes => {
            return Err(EngineError::Rule(
                "the metadata is not in its canonical form",
            ));
        }
        TypedPayload::LogCheckpoint(_) => {
            let rule = "a checkpoint is signed for the daemon's own log alone";
            return Err(EngineError::Rule(rule));
        }
        TypedPayload::Tuf(_) | TypedPayload::LedgerDayRoot(_) => {
            typed.signature_input(&key.public)?
        }
    };
    Ok(ToSign::of(key, &message))
}

impl ToSign {
    pub(super) fn of(key: &ServedKey, message: &[u8]) -> ToSign {
        ToSign {
            digest: Digest::of(key.public.curve(), message),
            hash: Sha256::digest(message).into(),
        }
    }
}

fn credential(key: &ServedKey, claims: &[u8], now: UnixTime) -> Result<Vec<u8>, EngineError> {
    match &key.issuer {
        Some(Ok(issuer)) => Ok(credential_to_sign(issuer, claims, now)?),
        Some(Err(_)) | None => Err(EngineError::Rule(
            "the registry has no issuer's certificate of this key",
        )),
    }
}

fn certificate(key: &ServedKey) -> Result<&Certificate, EngineError> {
    key.certificate.as_ref().ok_or(EngineError::Rule(
        "the registry has no certificate of this authority",
    ))
}
