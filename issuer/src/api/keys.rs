use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use obol_credential::{Algorithm, Kid, UnixTime};
use obol_kms_client::KeyInfo;
use obol_transport::{Bytes, Peer, Problem};
use tracing::{error, info};

use super::Api;
use super::answer::{Refusal, malformed};
use super::request::json;
use super::wire::{
    Cbor, CommandRequest, KeyReply, KeyStandingReply, KeyState, KeyUse, KeysReply, ProblemReply,
};
use crate::certificate::IssuerCertificate;
use crate::publisher::{SuspendCommand, parse_kid};

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
    let served = api.issuer.served_keys().await;
    let (live, now) = (api.issuer.live(), api.now());
    let signing = live.shards.signing().iter().map(|shard| {
        let certificate = &shard.certificate;
        let kid = certificate.kid();
        let is_active = |key: &KeyInfo| {
            key.spki == certificate.spki() && key.state == obol_kms_client::KeyState::Active
        };
        let state = match certificate.covers(now) {
            _ if live.shards.suspended().contains(&kid) => KeyState::Suspended,
            false => KeyState::NotInForce,
            true if served.iter().any(is_active) && api.issuer.can_sign(kid) => KeyState::Available,
            true => KeyState::Unavailable,
        };
        reply(certificate, KeyUse::Signing, state)
    });
    let published = live.shards.published().iter();
    let published = published.map(|certificate| {
        let state = match live.shards.suspended().contains(&certificate.kid()) {
            true => KeyState::Suspended,
            false => published_state(certificate, now),
        };
        reply(certificate, KeyUse::Published, state)
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

/// Block an issuer key: it signs no more, and terminals refuse what it signed
#[utoipa::path(
    post,
    path = "/v1/keys/{kid}/suspend",
    tag = "trust",
    request_body = CommandRequest,
    params(("kid" = String, Path, pattern = "^[0-9a-f]{8}$",
        description = "8 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "What holds now, durable; in the repository within seconds",
            body = KeyStandingReply),
        (status = 400, description = "Malformed", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "No key of the bundle, or nothing is published here",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "It cannot be kept", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn suspend(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<KeyStandingReply>, Refusal> {
    // To block is to be safe: whoever notices first may.
    api.admit(&peer, &["platform", "issuer"])?;
    let kid = kid(&name)?;
    let asked: CommandRequest = json(&headers, &body)?;
    let command = SuspendCommand {
        at: api.now(),
        by: peer.uri,
        reason: asked.check().map_err(malformed)?,
    };
    let key = api.issuer.suspend_key(kid, command).await?;
    info!(%kid, "an issuer key is blocked");
    Ok(Json(KeyStandingReply::of(kid, Some(key))))
}

/// Lift the block of an issuer key
///
/// For the issuer's own operators alone: a platform that was broken into cannot bring a stolen key
/// back.
#[utoipa::path(
    post,
    path = "/v1/keys/{kid}/resume",
    tag = "trust",
    request_body = CommandRequest,
    params(("kid" = String, Path, pattern = "^[0-9a-f]{8}$",
        description = "8 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "What holds now, durable; in the repository within seconds",
            body = KeyStandingReply),
        (status = 400, description = "Malformed", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered, or not of the role issuer",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 404, description = "No key of the bundle, or nothing is published here",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "It cannot be kept", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<KeyStandingReply>, Refusal> {
    api.admit(&peer, &["issuer"])?;
    let kid = kid(&name)?;
    let asked: CommandRequest = json(&headers, &body)?;
    let reason = asked.check().map_err(malformed)?;
    api.issuer.resume_key(kid).await?;
    info!(%kid, by = peer.uri, reason, "the block of an issuer key is lifted");
    Ok(Json(KeyStandingReply::of(kid, None)))
}

fn kid(name: &str) -> Result<Kid, Refusal> {
    let malformed = || malformed("kid is not 8 lower-case hexadecimal digits".to_owned());
    parse_kid(name).ok_or_else(malformed)
}

/// The trust bundle (docs/spec/trust.md)
#[utoipa::path(
    get,
    path = "/v1/trust-bundle",
    tag = "trust",
    responses(
        (status = 200, description = "Deterministic CBOR", body = Cbor,
            content_type = "application/cbor"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn trust_bundle(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Cbor, Refusal> {
    api.admit(&peer, &["platform", "terminal"])?;
    let bundle = api.issuer.trust_bundle(api.now()).map_err(|refused| {
        error!(%refused, "no trust bundle can be made");
        Problem::internal()
    })?;
    Ok(Cbor(bundle))
}
