//! Refusals as problems.

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use obol_kms_client::KmsError;
use obol_kms_client::wire::RefusalKind;
use obol_transport::Problem;
use tracing::error;

use super::wire::ProblemReply;
use crate::issuance::IssueRefused;
use crate::register::{ChangeRefused, RegisterError};

/// Seconds until the daemon has signed its next checkpoint, as a rule.
const NEXT_CHECKPOINT_S: u32 = 10;

/// A problem, and when to come again.
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Problem,
    retry_after_s: Option<u32>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            retry_after_s: None,
        }
    }
}

impl From<IssueRefused> for Refusal {
    fn from(refused: IssueRefused) -> Self {
        let retry_after_s = match refused {
            IssueRefused::Overloaded { retry_after_s }
            | IssueRefused::RestoredToday { retry_after_s, .. } => Some(retry_after_s),
            IssueRefused::InProgress | IssueRefused::Unavailable | IssueRefused::TokenAway(_) => {
                Some(1)
            }
            _ => None,
        };
        Self {
            problem: problem(&refused),
            retry_after_s,
        }
    }
}

impl From<RegisterError> for Refusal {
    fn from(cause: RegisterError) -> Self {
        error!(
            cause = &cause as &dyn std::error::Error,
            "the register gave no answer"
        );
        IssueRefused::Unavailable.into()
    }
}

impl From<ChangeRefused> for Refusal {
    fn from(refused: ChangeRefused) -> Self {
        match refused {
            ChangeRefused::Register(cause) => cause.into(),
            ChangeRefused::Superseded(..) => {
                let title = "A later command holds";
                let detail = refused.to_string();
                Problem::new(StatusCode::CONFLICT, "superseded", title, detail).into()
            }
            ChangeRefused::Revoked(_) => {
                let title = "What is revoked stays revoked";
                let detail = refused.to_string();
                Problem::new(StatusCode::CONFLICT, "revoked", title, detail).into()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The daemon's log is not there yet, or not at all.
pub(super) fn unproved(cause: &KmsError) -> Refusal {
    match cause {
        KmsError::Refused {
            kind: RefusalKind::NotCovered,
            reason,
        } => Refusal {
            problem: Problem::new(
                StatusCode::CONFLICT,
                "proof-not-yet",
                "No checkpoint covers the signature yet",
                reason.clone(),
            ),
            retry_after_s: Some(NEXT_CHECKPOINT_S),
        },
        KmsError::Refused {
            kind: RefusalKind::UnknownLeaf,
            ..
        } => no_proof(),
        cause => {
            error!(
                cause = cause as &dyn std::error::Error,
                "the daemon gave no proof"
            );
            IssueRefused::Unavailable.into()
        }
    }
}

/// Nobody remembers where the signature stands.
pub(super) fn no_proof() -> Refusal {
    let title = "There is no proof for this credential";
    let detail = "it was not signed, or where its signature stands in the log is not known here";
    Problem::new(StatusCode::NOT_FOUND, "proof-unknown", title, detail).into()
}

pub(super) fn malformed(detail: String) -> Refusal {
    let title = "The body is not the JSON of the request";
    Problem::new(StatusCode::BAD_REQUEST, "malformed-request", title, detail).into()
}

pub(super) fn problem(refused: &IssueRefused) -> Problem {
    let (status, title) = refused.status_and_title();
    let status = StatusCode::from_u16(status).expect("each number below is a status");
    Problem::new(status, refused.code(), title, refused.to_string())
}

impl From<Problem> for ProblemReply {
    fn from(problem: Problem) -> Self {
        Self {
            r#type: format!("urn:obol:problem:{}", problem.code),
            title: problem.title.into_owned(),
            status: problem.status.as_u16(),
            detail: problem.detail,
            code: problem.code.into_owned(),
        }
    }
}

impl IssueRefused {
    fn status_and_title(&self) -> (u16, &'static str) {
        match self {
            Self::PossessionMalformed(_) => (400, "The proof does not parse"),
            Self::OtherSubject => (400, "The proof is for another subject"),
            Self::Stale { .. } => (400, "The proof is not fresh"),
            Self::Signature => (400, "The proof's signature does not verify"),
            Self::Denied { .. } => (403, "The subject or the device is denied"),
            Self::UnknownCredential => (404, "There is no such credential"),
            Self::DeviceKeyReused => (409, "The device key was used before"),
            Self::InProgress => (409, "The same request is under way"),
            Self::UnknownClass(_) => (422, "There is no such class"),
            Self::OtherRequest => (422, "The idempotency key belongs to another request"),
            Self::Quota(_) => (429, "The quota is used up"),
            Self::NoKey => (503, "No key may sign"),
            Self::RestoredToday { .. } => (503, "The register was restored today"),
            Self::StatusListFull => (503, "The status list is full"),
            Self::KeyNotValid(_) => (503, "The signing key is not in force"),
            Self::Overloaded { .. } => (503, "Too much is waiting"),
            Self::TokenAway(_) => (503, "The key's token gives no signatures"),
            Self::Unavailable => (503, "No signature can be had"),
        }
    }

    /// Stable, for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        use crate::register::{Standing as S, Target as T};
        match self {
            Self::PossessionMalformed(_) => "possession-malformed",
            Self::OtherSubject => "possession-subject",
            Self::Stale { .. } => "possession-stale",
            Self::Signature => "possession-signature",
            Self::Denied { target, standing } => match (target, standing) {
                (T::Subject(_), S::Revoked) => "subject-revoked",
                (T::Subject(_), _) => "subject-suspended",
                (T::Device(_), S::Revoked) => "device-revoked",
                (T::Device(_), _) => "device-suspended",
            },
            Self::UnknownCredential => "credential-unknown",
            Self::DeviceKeyReused => "device-key-reused",
            Self::InProgress => "request-in-progress",
            Self::UnknownClass(_) => "class-unknown",
            Self::OtherRequest => "idempotency-key-reused",
            Self::Quota(_) => "quota-exhausted",
            Self::NoKey => "no-signing-key",
            Self::RestoredToday { .. } => "restored-today",
            Self::StatusListFull => "status-list-full",
            Self::KeyNotValid(_) => "issuer-key-not-valid",
            Self::Overloaded { .. } => "overloaded",
            Self::TokenAway(_) => "issuer-key-unavailable",
            Self::Unavailable => "signing-unavailable",
        }
    }
}
