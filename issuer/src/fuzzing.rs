//! Private readers as plain functions, for fuzzing; no part of the crate's contract.

use std::path::PathBuf;

use obol_trust::tuf::{Root, Targets};

pub use crate::api::fuzzing::{credential_batch, idempotency_key, path_name, standing_command};

use crate::enrolment::EnrolmentRequest;

/// The file of an issuer key's certificate.
pub fn issuer_certificate(pem: &[u8]) -> Result<crate::IssuerCertificate, &'static str> {
    crate::IssuerCertificate::from_pem(pem)
}

/// A file in which an issuer leaves what it denies for the one that publishes.
pub fn denied_lists(bytes: &[u8]) -> Result<Vec<crate::DeniedIndexes>, String> {
    crate::publisher::lists_of(obol_credential::Kid([7; 4]), bytes)
}

/// The body of EST's `simpleenroll` and `simplereenroll`.
pub fn enrolment_body(body: &[u8]) -> Result<EnrolmentRequest, String> {
    crate::est::pkcs10(body)
}

/// A first root that officers signed.
pub fn offline_root(bytes: &[u8]) -> Result<Root, String> {
    crate::publisher::read_root(bytes, None, 1)
}

/// Targets that officers signed, under their root.
pub fn offline_targets(bytes: &[u8], root: &Root) -> Result<Targets, String> {
    crate::publisher::read_targets(bytes, root)
}

/// Where a target lies in the officers' folder, by its path in the metadata.
pub fn offline_path(target: &str) -> Option<PathBuf> {
    crate::publisher::place(target)
}
