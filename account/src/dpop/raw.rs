//! The JSON of a proof, as it stands on the wire. serde refuses unknown members and a member
//! that stands twice.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::ProofRefused;
use crate::EnrolledKey;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeader {
    typ: String,
    alg: String,
    jwk: RawJwk,
}

/// Only the members RFC 7638 hashes: a private key (`d`) or a decoration is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClaims {
    pub(super) jti: String,
    pub(super) htm: String,
    pub(super) htu: String,
    pub(super) iat: u32,
    #[serde(default)]
    pub(super) bdh: Option<String>,
}

impl RawHeader {
    pub(super) fn parse(json: &[u8]) -> Result<RawHeader, ProofRefused> {
        let header: RawHeader = serde_json::from_slice(json)
            .map_err(|error| ProofRefused::Header(error.to_string()))?;
        demand("typ", &header.typ, "dpop+jwt")?;
        demand("alg", &header.alg, "ES256")?;
        demand("kty", &header.jwk.kty, "EC")?;
        demand("crv", &header.jwk.crv, "P-256")?;
        Ok(header)
    }

    pub(super) fn key(&self) -> Result<EnrolledKey, ProofRefused> {
        let (x, y) = (coordinate("x", &self.jwk.x)?, coordinate("y", &self.jwk.y)?);
        EnrolledKey::from_coordinates(x, y)
            .map_err(|invalid| ProofRefused::Header(invalid.to_string()))
    }
}

impl RawClaims {
    pub(super) fn parse(json: &[u8]) -> Result<RawClaims, ProofRefused> {
        serde_json::from_slice(json).map_err(|error| ProofRefused::Claims(error.to_string()))
    }
}

fn demand(member: &str, found: &str, expected: &str) -> Result<(), ProofRefused> {
    if found == expected {
        return Ok(());
    }
    Err(ProofRefused::Header(format!(
        "{member} is {found:?}, expected {expected:?}"
    )))
}

fn coordinate(member: &str, text: &str) -> Result<[u8; 32], ProofRefused> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ProofRefused::Header(format!("{member} is not 32 bytes of base64url")))
}
