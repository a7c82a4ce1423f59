//! The JSON of `POST /v1/credentials`.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialRequest {
    /// 32 hexadecimal digits, lower case.
    pub(super) subject: String,
    pub(super) class: u8,
    /// base64url without padding.
    pub(super) possession: String,
}

#[derive(Serialize)]
pub(super) struct CredentialReply {
    /// base64url without padding.
    pub(super) credential: String,
    pub(super) expires_at: u32,
    /// 8 hexadecimal digits, lower case.
    pub(super) kid: String,
}
