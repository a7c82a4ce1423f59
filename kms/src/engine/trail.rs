//! Leaves of the audit log: every request that reached the engine leaves one, before anything else
//! happens with it.

use obol_credential::UnixTime;
use obol_kms_audit::{AuditError, AuditLog};
use obol_kms_client::SpkiId;
use obol_kms_policy::Approved;
use obol_kms_registry::{Counted, PayloadType};
use obol_log::{Decision, Leaf, TEXT_MAX};

use crate::engine::error::EngineError;
use crate::engine::rules::ToSign;

/// What stands for the class of a key that is not registered.
pub(super) const NO_CLASS: &str = "unknown";
const OPERATION: &str = "sign";

/// Who asked for what, when.
pub(super) struct Asked<'a> {
    pub(super) time: UnixTime,
    pub(super) actor: &'a str,
    pub(super) key: SpkiId,
    pub(super) class: &'static str,
    pub(super) payload_type: PayloadType,
    /// SHA-256 of the bytes to be signed, or of what was handed in where they were never built.
    pub(super) hash: [u8; 32],
}

/// A signature that was approved and whose leaf is on the medium. Made by [`approve`] alone; the
/// token is asked with nothing else.
pub(super) struct Recorded {
    pub(super) to_sign: ToSign,
    pub(super) leaf: u64,
    pub(super) policy_hash: [u8; 32],
}

/// Makes the approval durable.
pub(super) fn approve(
    log: &AuditLog,
    asked: &Asked<'_>,
    to_sign: ToSign,
    approved: &Approved,
    counted: Counted,
) -> Result<Recorded, EngineError> {
    let policy_hash = approved.policy_hash();
    let reason = format!("{}; use {}", approved.reason().join(", "), counted.number());
    let index = append(log, asked, Decision::Approved, Some(policy_hash), &reason)?;
    Ok(Recorded {
        to_sign,
        leaf: index,
        policy_hash,
    })
}

/// Makes a refusal durable.
pub(super) fn deny(
    log: &AuditLog,
    asked: &Asked<'_>,
    refusal: &EngineError,
) -> Result<u64, EngineError> {
    let policy_hash = match refusal {
        EngineError::Denied(denied) => Some(denied.policy_hash),
        _ => None,
    };
    append(
        log,
        asked,
        Decision::Denied,
        policy_hash,
        &refusal.to_string(),
    )
}

/// Says that an approval came to nothing.
pub(super) fn fail(
    log: &AuditLog,
    asked: &Asked<'_>,
    of: &Recorded,
    failure: &EngineError,
) -> Result<u64, EngineError> {
    let decision = Decision::Failed { of: of.leaf };
    append(
        log,
        asked,
        decision,
        Some(of.policy_hash),
        &failure.to_string(),
    )
}

fn append(
    log: &AuditLog,
    asked: &Asked<'_>,
    decision: Decision,
    policy_hash: Option<[u8; 32]>,
    reason: &str,
) -> Result<u64, EngineError> {
    let reason = shown(reason);
    let leaf = Leaf {
        time: asked.time,
        actor: asked.actor,
        operation: OPERATION,
        key: asked.key.0,
        class: asked.class,
        payload_type: asked.payload_type.name(),
        payload_hash: asked.hash,
        decision,
        policy_hash,
        reason: &reason,
    };
    // Names of clients, classes and types are shorter than a leaf's names may be.
    let entry = leaf
        .encode()
        .ok_or(EngineError::Audit(AuditError::Entry(0)))?;
    Ok(log.append(&entry).map_err(EngineError::Audit)?.index)
}

/// One printable line of at most [`TEXT_MAX`] bytes: it may quote what a client sent.
fn shown(reason: &str) -> String {
    let plain = reason
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut line = String::new();
    for c in plain {
        if line.len() + c.len_utf8() > TEXT_MAX {
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_that_fits_a_leaf_whatever_it_quotes() {
        let long = "\u{20ac}".repeat(200) + "\0\n";
        assert_eq!(shown(&long).len(), TEXT_MAX - TEXT_MAX % 3);
        assert_eq!(shown("a\0b\nc"), "a\u{fffd}b\u{fffd}c");
    }
}
