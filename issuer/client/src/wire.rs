//! The JSON of the API, as a client sees it.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::possession::Possession;
use obol_credential::{Credential, UnixTime};
use obol_transport::Problem;
use obol_transport::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::asked::{Ask, Issued};

#[derive(Serialize)]
pub(crate) struct CredentialRequest {
    /// 32 hexadecimal digits, lower case.
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    class: u8,
    /// base64url without padding.
    possession: String,
}

#[derive(Serialize)]
pub(crate) struct BatchRequest {
    pub(crate) items: Vec<CredentialRequest>,
}

#[derive(Serialize)]
pub(crate) struct RenewalRequest {
    pub(crate) possession: String,
}

#[derive(Serialize)]
pub(crate) struct CommandRequest<'a> {
    pub(crate) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialReply {
    /// base64url without padding.
    credential: String,
    expires_at: u32,
    /// 8 hexadecimal digits, lower case.
    kid: String,
    /// 16 hexadecimal digits, lower case.
    cti: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchReply {
    pub(crate) results: Vec<BatchResult>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum BatchResult {
    Signed(CredentialReply),
    Refused { problem: ProblemReply },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProblemReply {
    #[serde(rename = "type")]
    _kind: String,
    title: String,
    status: u16,
    detail: String,
    code: String,
}

impl CredentialRequest {
    pub(crate) fn of(ask: &Ask) -> Self {
        Self {
            subject: HEXLOWER.encode(&ask.subject),
            device: ask.device.as_ref().map(|device| HEXLOWER.encode(device)),
            class: ask.class,
            possession: BASE64URL_NOPAD.encode(&ask.possession),
        }
    }
}

impl ProblemReply {
    /// The item has a name and an index, and no signature yet.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.code == "signing-unavailable"
    }

    pub(crate) fn into_problem(self) -> Result<Problem, String> {
        let status = StatusCode::from_u16(self.status)
            .map_err(|_| format!("a problem has status {}", self.status))?;
        Ok(Problem {
            status,
            code: self.code.into(),
            title: self.title.into(),
            detail: self.detail,
        })
    }
}

impl CredentialReply {
    /// What was issued, if it is for this device key and, where it is known, this class.
    pub(crate) fn issued(
        &self,
        proof: &Possession,
        class: Option<u8>,
        issuer: &str,
    ) -> Result<Issued, String> {
        let bytes = BASE64URL_NOPAD
            .decode(self.credential.as_bytes())
            .map_err(|error| format!("credential: {error}"))?;
        let credential =
            Credential::decode(&bytes).map_err(|error| format!("credential: {error}"))?;
        let claims = credential.claims();
        let agrees = claims.device_key == proof.device_key
            && class.is_none_or(|class| claims.fare.class == class)
            && claims.expires_at == UnixTime(self.expires_at)
            && credential.kid().to_string() == self.kid
            && HEXLOWER.encode(&claims.cti.0) == self.cti;
        if !agrees {
            return Err("the credential is not the one that was asked for".to_owned());
        }
        let (expires_at, kid, cti) = (claims.expires_at, credential.kid(), claims.cti);
        Ok(Issued {
            credential: bytes,
            expires_at,
            kid,
            cti,
            issuer: issuer.to_owned(),
        })
    }
}
