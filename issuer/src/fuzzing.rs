//! Private readers as plain functions, for fuzzing; no part of the crate's contract.

pub use crate::api::fuzzing::credential_batch;

use crate::enrolment::EnrolmentRequest;

/// The body of EST's `simpleenroll` and `simplereenroll`.
pub fn enrolment_body(body: &[u8]) -> Result<EnrolmentRequest, String> {
    crate::est::pkcs10(body)
}
