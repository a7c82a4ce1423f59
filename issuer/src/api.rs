mod wire;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use data_encoding::BASE64URL_NOPAD;
use obol_credential::UnixTime;
use obol_transport::{Bytes, Peer, Problem};
use tracing::{error, info};

use crate::clients::Clients;
use crate::issuance::{Asked, IssueRefused};
use crate::issuer::Issuer;
use wire::{CredentialReply, CredentialRequest};

const REQUEST_MAX: usize = 4096;

struct Api {
    issuer: Issuer,
    clients: Clients,
    clock: fn() -> u32,
}

impl Api {
    fn now(&self) -> UnixTime {
        UnixTime((self.clock)())
    }
}

/// The issuer's HTTP API; `clock` gives seconds since 1970 UTC.
pub fn router(issuer: Issuer, clients: Clients, clock: fn() -> u32) -> Router {
    Router::new()
        .route("/v1/credentials", post(sign_credential))
        .route("/v1/trust-bundle", get(trust_bundle))
        .route("/healthz", get(healthz))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(Arc::new(Api {
            issuer,
            clients,
            clock,
        }))
}

async fn sign_credential(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Response, Problem> {
    api.clients.admit(&peer, &["platform"])?;
    let asked = CredentialRequest::parse(&body).map_err(malformed)?;
    let (signed, expires_at) = api
        .issuer
        .issue(&asked, api.now())
        .await
        .map_err(|refused| problem(&peer, refused))?;
    info!(client = peer.uri, kid = %signed.kid(), class = asked.class, "credential issued");
    let reply = CredentialReply {
        credential: BASE64URL_NOPAD.encode(signed.credential()),
        expires_at: expires_at.0,
        kid: signed.kid().to_string(),
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

async fn trust_bundle(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    api.clients.admit(&peer, &["platform", "terminal"])?;
    let bundle = api.issuer.trust_bundle(api.now()).map_err(|refused| {
        error!(%refused, "no trust bundle can be made");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, "application/cbor")], bundle).into_response())
}

async fn healthz(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<&'static str, Problem> {
    api.clients.admit(&peer, &["platform", "terminal"])?;
    api.issuer
        .check()
        .await
        .map_err(|refused| problem(&peer, refused))?;
    Ok("ok\n")
}

fn malformed(detail: String) -> Problem {
    let title = "The body is not the JSON of the request";
    Problem::new(StatusCode::BAD_REQUEST, "malformed-request", title, detail)
}

fn problem(peer: &Peer, refused: IssueRefused) -> Problem {
    use IssueRefused as R;
    let (status, code, title) = match &refused {
        R::PossessionMalformed(_) => (400, "possession-malformed", "The proof does not parse"),
        R::OtherSubject => (
            400,
            "possession-subject",
            "The proof is for another subject",
        ),
        R::Stale { .. } => (400, "possession-stale", "The proof is not fresh"),
        R::Signature => (
            400,
            "possession-signature",
            "The proof's signature does not verify",
        ),
        R::UnknownClass(_) => (422, "class-unknown", "There is no such class"),
        R::DeviceKeyReused => (409, "device-key-reused", "The device key was used before"),
        R::StatusListFull => (503, "status-list-full", "The status list is full"),
        R::KeyNotValid(_) => (
            503,
            "issuer-key-not-valid",
            "The signing key is not in force",
        ),
        R::Unavailable => (503, "signing-unavailable", "No signature can be had"),
    };
    info!(client = peer.uri, code, reason = %refused, "request refused");
    let status = StatusCode::from_u16(status).expect("each number above is a status");
    Problem::new(status, code, title, refused.to_string())
}

impl CredentialRequest {
    fn parse(body: &[u8]) -> Result<Asked, String> {
        let raw: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let subject = data_encoding::HEXLOWER
            .decode(raw.subject.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or("subject is not 32 lower-case hexadecimal digits")?;
        let possession = BASE64URL_NOPAD
            .decode(raw.possession.as_bytes())
            .map_err(|error| format!("possession is not base64url without padding: {error}"))?;
        Ok(Asked {
            subject,
            class: raw.class,
            possession,
        })
    }
}
