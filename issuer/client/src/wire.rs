//! The JSON of `POST /v1/credentials`.

use serde::{Deserialize, Serialize};

#[derive(Serialize)]
pub(crate) struct CredentialRequest {
    /// 32 hexadecimal digits, lower case.
    pub(crate) subject: String,
    pub(crate) class: u8,
    /// base64url without padding.
    pub(crate) possession: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialReply {
    /// base64url without padding.
    pub(crate) credential: String,
    pub(crate) expires_at: u32,
    /// 8 hexadecimal digits, lower case.
    pub(crate) kid: String,
    /// 16 hexadecimal digits, lower case.
    pub(crate) cti: String,
}
