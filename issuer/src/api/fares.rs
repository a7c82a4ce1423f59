//! Fare packs: pushed by the platform that charges by them, published to terminals.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use obol_fare::{FarePack, PackId};
use obol_transport::{Bytes, Peer, Problem};
use tracing::{error, info};

use super::Api;
use super::answer::{Refusal, malformed};
use super::wire::{CBOR, Cbor, FarePackReply, ProblemReply};
use crate::issuance::IssueRefused;
use crate::issuer::PublishRefused;
use crate::publisher::PushRefused;

/// Push the fare pack by which an operator's terminals shall charge
///
/// A pack must hold now and begin later than the one that is there. A correction, which begins at
/// the same second, names the pack that it replaces in `If-Match`.
#[utoipa::path(
    put,
    path = "/v1/fare-packs/{operator}",
    tag = "trust",
    request_body(content = Cbor, content_type = "application/cbor",
        description = "docs/spec/fare-pack.md, at most 32 KiB"),
    params(
        ("operator" = String, Path, pattern = "^[a-z0-9-]{1,32}$",
            description = "1 to 32 of a-z 0-9 -"),
        ("If-Match" = Option<String>, Header, pattern = r#"^"[0-9a-f]{16}"$"#,
            description = "The pack that is replaced, quoted"),
    ),
    responses(
        (status = 200, description = "Durable; in the repository within seconds",
            body = FarePackReply),
        (status = 400, description = "No fare pack, or no pack's name in If-Match",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "No key here signs for this operator, or nothing is \
            published here", body = ProblemReply, content_type = "application/problem+json"),
        (status = 409, description = "A pack is there that begins as late or later",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 412, description = "Another pack is there than If-Match names",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not CBOR", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 422, description = "It does not hold now", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "It cannot be kept", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn push(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(operator): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<FarePackReply>, Refusal> {
    api.admit(&peer, &["platform"])?;
    let pack = read(&headers, &body)?;
    let replaces = replaces(&headers)?;
    let reply = FarePackReply::of(&operator, &pack);
    let pushed = api.issuer.push_fares(&operator, pack, replaces, api.now());
    pushed.await?;
    info!(operator, pack = reply.pack, "a fare pack was pushed");
    Ok(Json(reply))
}

/// The fare pack that is published for an operator
#[utoipa::path(
    get,
    path = "/v1/fare-packs/{operator}",
    tag = "trust",
    params(("operator" = String, Path, pattern = "^[a-z0-9-]{1,32}$",
        description = "1 to 32 of a-z 0-9 -")),
    responses(
        (status = 200, description = "Its bytes; ETag has its name", body = Cbor,
            content_type = "application/cbor"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "None is, or no key here signs for this operator",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be read", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn published(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(operator): Path<String>,
) -> Result<Response, Refusal> {
    api.admit(&peer, &["platform", "terminal", "issuer"])?;
    let Some(pack) = api.issuer.fares(&operator).await? else {
        let title = "There is no such fare pack";
        let detail = format!("no pack was pushed for operator {operator}");
        let status = StatusCode::NOT_FOUND;
        return Err(Problem::new(status, "fare-pack-unknown", title, detail).into());
    };
    let name = [(ETAG, format!("\"{}\"", pack.id()))];
    Ok((name, Cbor(pack.bytes().to_vec())).into_response())
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<FarePack, Refusal> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if content_type != Some(CBOR) {
        let title = "The body is of another type";
        let detail = format!("Content-Type is {content_type:?}, not {CBOR}");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-media-type", title, detail).into());
    }
    FarePack::decode(body).map_err(|fault| {
        let title = "The body is no fare pack";
        let status = StatusCode::BAD_REQUEST;
        Problem::new(status, "fare-pack-malformed", title, fault.to_string()).into()
    })
}

fn replaces(headers: &HeaderMap) -> Result<Option<PackId>, Refusal> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let name = value.to_str().ok().and_then(|text| {
        let digits = text.strip_prefix('"')?.strip_suffix('"')?;
        let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).ok()?;
        bytes.try_into().ok()
    });
    match (name, values.next()) {
        (Some(name), None) => Ok(Some(PackId(name))),
        _ => Err(malformed(
            "If-Match is not one pack's name: 16 lower-case hexadecimal digits in quotes"
                .to_owned(),
        )),
    }
}

impl From<PublishRefused> for Refusal {
    fn from(refused: PublishRefused) -> Self {
        let detail = refused.to_string();
        let (status, code, title) = match refused {
            PublishRefused::NotPublishing => {
                let title = "Nothing is published here";
                (StatusCode::NOT_FOUND, "not-publishing", title)
            }
            PublishRefused::UnknownKey(_) => {
                let title = "There is no such key";
                (StatusCode::NOT_FOUND, "key-unknown", title)
            }
            PublishRefused::UnknownOperator(_) => {
                let title = "There is no such operator";
                (StatusCode::NOT_FOUND, "operator-unknown", title)
            }
            PublishRefused::Push(PushRefused::NotInForce { .. }) => {
                let title = "The fare pack does not hold now";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                (status, "fare-pack-not-in-force", title)
            }
            PublishRefused::Push(PushRefused::Older { .. }) => {
                let title = "A newer fare pack is there";
                (StatusCode::CONFLICT, "fare-pack-older", title)
            }
            PublishRefused::Push(PushRefused::Changed(_)) => {
                let title = "Another fare pack is there";
                let status = StatusCode::PRECONDITION_FAILED;
                (status, "fare-pack-changed", title)
            }
            PublishRefused::Push(PushRefused::Shared(_)) | PublishRefused::Ended => {
                let cause: &(dyn std::error::Error + 'static) = &refused;
                error!(cause, "what issuers share cannot be used");
                return IssueRefused::Unavailable.into();
            }
        };
        Problem::new(status, code, title, detail).into()
    }
}
