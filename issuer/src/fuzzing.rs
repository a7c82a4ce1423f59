//! Private readers as plain functions, for fuzzing; no part of the crate's contract.

pub use crate::api::fuzzing::credential_batch;

use crate::enrolment::EnrolmentRequest;

/// A file in which an issuer leaves what it denies for the one that publishes.
pub fn denied_lists(bytes: &[u8]) -> Result<Vec<crate::DeniedIndexes>, String> {
    crate::publisher::lists_of(obol_credential::Kid([7; 4]), bytes)
}

/// The body of EST's `simpleenroll` and `simplereenroll`.
pub fn enrolment_body(body: &[u8]) -> Result<EnrolmentRequest, String> {
    crate::est::pkcs10(body)
}
