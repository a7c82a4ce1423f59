#![doc = include_str!("../README.md")]

mod publishing;
mod wire;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use miette::Diagnostic;
use obol_credential::possession::{self, Possession};
use obol_credential::{Credential, Kid, UnixTime};
use obol_transport::{Bytes, HttpsClient, Identity, Problem, Reply, TransportError, TrustAnchor};
use thiserror::Error;

pub use publishing::PublishingClient;

/// A credential as the issuer handed it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The CWT, well-formed, its signature not verified here.
    pub credential: Vec<u8>,
    /// The first second at which it is refused.
    pub expires_at: UnixTime,
    /// The issuer key that signed it.
    pub kid: Kid,
}

/// Why the issuer gave nothing.
#[derive(Debug, Error, Diagnostic)]
pub enum IssuerClientError {
    /// No whole reply.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] TransportError),
    /// The issuer's answer is no; its code is stable.
    #[error("the issuer refused: {0}")]
    #[diagnostic(
        code(refused::issuer),
        help("the issuer's log names the request and the reason")
    )]
    Refused(Problem),
    /// The proof is none: nothing was sent.
    #[error("the proof of possession is malformed")]
    #[diagnostic(help("send what `obol_credential::possession::encode` made"))]
    Possession(#[source] obol_credential::Malformed),
    /// The reply is not what was asked for.
    #[error("the issuer's reply is wrong: {0}")]
    #[diagnostic(help("check that client and issuer are of the same release"))]
    WrongReply(String),
}

/// The issuer at one address; cheap to clone.
#[derive(Clone, Debug)]
pub struct IssuerClient {
    http: HttpsClient,
    base: String,
}

impl IssuerClient {
    /// Talks to the issuer at `base` (`https://HOST:PORT`), which must show a certificate of
    /// `anchor` and of the role `issuer`.
    #[must_use]
    pub fn new(base: &str, anchor: &TrustAnchor, identity: Identity) -> Self {
        let http = HttpsClient::expecting("issuer", anchor, Some(identity));
        Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Has a credential of `class` (0 to 31) signed for `subject` and the device key that
    /// `possession` proves.
    ///
    /// # Errors
    /// [`IssuerClientError`]. After [`IssuerClientError::Transport`] the issuer may have signed:
    /// ask again with a fresh device key.
    pub async fn sign_credential(
        &self,
        subject: &[u8; 16],
        class: u8,
        possession: &[u8],
    ) -> Result<Issued, IssuerClientError> {
        let (proof, _) = possession::decode(possession).map_err(IssuerClientError::Possession)?;
        let request = wire::CredentialRequest {
            subject: HEXLOWER.encode(subject),
            class,
            possession: BASE64URL_NOPAD.encode(possession),
        };
        let body = serde_json::to_vec(&request).expect("strings and a number are JSON");
        let url = format!("{}/v1/credentials", self.base);
        let reply = self
            .http
            .post(&url, "application/json", Bytes::from(body))
            .await?;
        let reply = accepted(reply, "application/json")?;
        issued(&reply.body, &proof, class).map_err(IssuerClientError::WrongReply)
    }

    /// The trust bundle, as bytes for `obol-trust`; nothing in it is believed yet.
    ///
    /// # Errors
    /// [`IssuerClientError`].
    pub async fn trust_bundle(&self) -> Result<Vec<u8>, IssuerClientError> {
        let reply = self
            .http
            .get(&format!("{}/v1/trust-bundle", self.base))
            .await?;
        Ok(accepted(reply, "application/cbor")?.body.to_vec())
    }
}

fn accepted(reply: Reply, content_type: &str) -> Result<Reply, IssuerClientError> {
    let reply = reply.success().map_err(IssuerClientError::Refused)?;
    if reply.content_type != content_type {
        let found = format!("content type {:?}", reply.content_type);
        return Err(IssuerClientError::WrongReply(found));
    }
    Ok(reply)
}

fn issued(body: &[u8], proof: &Possession, class: u8) -> Result<Issued, String> {
    let reply: wire::CredentialReply = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let bytes = BASE64URL_NOPAD
        .decode(reply.credential.as_bytes())
        .map_err(|error| format!("credential: {error}"))?;
    let credential = Credential::decode(&bytes).map_err(|error| format!("credential: {error}"))?;
    let claims = credential.claims();
    let agrees = claims.device_key == proof.device_key
        && claims.fare.class == class
        && claims.expires_at == UnixTime(reply.expires_at)
        && credential.kid().to_string() == reply.kid
        && HEXLOWER.encode(&claims.cti.0) == reply.cti;
    if !agrees {
        return Err("the credential is not the one that was asked for".to_owned());
    }
    let (expires_at, kid) = (claims.expires_at, credential.kid());
    Ok(Issued {
        credential: bytes,
        expires_at,
        kid,
    })
}
