//! Signing that leaves no leaf, for this crate's tests and benchmarks; no part of its contract.

use obol_credential::UnixTime;

use crate::{IssuerKey, SignCredentialError, Token, VerifiedSignature};

/// Claims signed under the hard rules alone.
///
/// # Errors
/// [`SignCredentialError`].
pub fn sign_credential(
    token: &Token,
    issuer: &IssuerKey,
    claims: &[u8],
    now: UnixTime,
) -> Result<VerifiedSignature, SignCredentialError> {
    token.sign_credential(issuer, claims, now)
}
