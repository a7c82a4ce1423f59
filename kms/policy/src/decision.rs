//! What the policy answers.

use std::fmt;
use std::sync::Arc;

use crate::question::{Payload, Question};

/// The policy permits one question. Only [`Policy::decide`](crate::Policy::decide) makes one, and
/// what it permits can be read from it: an approval of one act is none of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    policy_hash: [u8; 32],
    spki: [u8; 32],
    payload: Payload,
    reason: Arc<[String]>,
}

impl Approved {
    pub(crate) fn new(policy_hash: [u8; 32], question: &Question, reason: Arc<[String]>) -> Self {
        Approved {
            policy_hash,
            spki: question.spki,
            payload: question.payload,
            reason,
        }
    }

    /// Hash of the policy set that decided.
    pub fn policy_hash(&self) -> [u8; 32] {
        self.policy_hash
    }

    /// The key that may sign.
    pub fn spki(&self) -> [u8; 32] {
        self.spki
    }

    /// What it may sign.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// Ids of the policies that permit it, sorted; at least one.
    pub fn reason(&self) -> &[String] {
        &self.reason
    }
}

/// The policy does not permit it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("denied by policy set {}: {reason}", data_encoding::HEXLOWER.encode(&policy_hash[..4]))]
pub struct Denied {
    /// Hash of the policy set that decided.
    pub policy_hash: [u8; 32],
    /// Why.
    pub reason: Denial,
}

/// Why a question was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// These policies forbid it; sorted ids.
    Forbidden(Arc<[String]>),
    /// No policy permits it.
    NotPermitted,
    /// These policies could not be evaluated, so none is believed; sorted ids.
    Broken(Arc<[String]>),
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::Forbidden(ids) => write!(f, "forbidden by {}", ids.join(", ")),
            Denial::NotPermitted => f.write_str("no policy permits it"),
            Denial::Broken(ids) => write!(f, "{} cannot be evaluated", ids.join(", ")),
        }
    }
}

/// A decision before it is bound to its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Permitted(Arc<[String]>),
    Refused(Denial),
}

impl Verdict {
    /// Deny overrides: one forbidding policy outweighs every permitting one.
    pub(crate) fn of(mut forbids: Vec<String>, mut permits: Vec<String>) -> Verdict {
        forbids.sort();
        permits.sort();
        if !forbids.is_empty() {
            Verdict::Refused(Denial::Forbidden(forbids.into()))
        } else if !permits.is_empty() {
            Verdict::Permitted(permits.into())
        } else {
            Verdict::Refused(Denial::NotPermitted)
        }
    }
}
