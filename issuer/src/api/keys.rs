use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use obol_credential::{Algorithm, UnixTime};
use obol_transport::{Peer, Problem};
use tracing::error;

use super::Api;
use super::answer::Refusal;
use super::wire::{KeyReply, KeyState, KeyUse, KeysReply, ProblemReply};
use crate::certificate::IssuerCertificate;

/// The shards and the other keys that terminals shall believe, with their states
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "trust",
    responses(
        (status = 200, description = "Shards first", body = KeysReply),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn keys(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<KeysReply>, Refusal> {
    api.admit(&peer, &["platform", "issuer"])?;
    // A daemon that gives no answer serves nothing.
    let served = api.issuer.kms().keys().await.unwrap_or_else(|cause| {
        error!(
            cause = &cause as &dyn std::error::Error,
            "the daemon did not name its keys"
        );
        Vec::new()
    });
    let (live, now) = (api.issuer.live(), api.now());
    let signing = live.shards.signing().iter().map(|shard| {
        let certificate = &shard.certificate;
        let state = match certificate.covers(now) {
            false => KeyState::NotInForce,
            true if served.iter().any(|key| key.spki == certificate.spki()) => KeyState::Available,
            true => KeyState::Unavailable,
        };
        reply(certificate, KeyUse::Signing, state)
    });
    let published = live.shards.published().iter();
    let published = published.map(|certificate| {
        reply(
            certificate,
            KeyUse::Published,
            published_state(certificate, now),
        )
    });
    Ok(Json(KeysReply {
        keys: signing.chain(published).collect(),
    }))
}

fn published_state(certificate: &IssuerCertificate, now: UnixTime) -> KeyState {
    if certificate.covers(now) {
        KeyState::VerifyOnly
    } else {
        KeyState::NotInForce
    }
}

fn reply(certificate: &IssuerCertificate, use_here: KeyUse, state: KeyState) -> KeyReply {
    let entry = certificate.entry();
    let algorithm = match certificate.algorithm() {
        Algorithm::Esp384 => "ESP384",
        Algorithm::Esp256 => "ESP256",
    };
    KeyReply {
        kid: certificate.kid().to_string(),
        spki: certificate.spki().to_string(),
        algorithm: algorithm.to_owned(),
        not_before: entry.not_before.0,
        not_after: entry.not_after.0,
        operator: entry.operator.to_owned(),
        classes: entry.classes,
        use_here,
        state,
    }
}

/// The trust bundle (docs/spec/trust.md)
#[utoipa::path(
    get,
    path = "/v1/trust-bundle",
    tag = "trust",
    responses(
        (status = 200, description = "Deterministic CBOR", body = Vec<u8>,
            content_type = "application/cbor"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn trust_bundle(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Refusal> {
    api.admit(&peer, &["platform", "terminal"])?;
    let bundle = api.issuer.trust_bundle(api.now()).map_err(|refused| {
        error!(%refused, "no trust bundle can be made");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, "application/cbor")], bundle).into_response())
}
