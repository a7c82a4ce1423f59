use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Extension, Json};
use obol_transport::{Bytes, Peer};
use tracing::info;

use super::Api;
use super::answer::{Refusal, malformed, problem};
use super::request::{json, key};
use super::wire::{
    BATCH_MAX, BatchReply, BatchRequest, BatchResult, CredentialReply, CredentialRequest,
    CredentialState, CredentialStatus, ProblemReply, RenewalRequest, cti,
};
use crate::issuance::IssueRefused;
use crate::issuer::{IssuedCredential, Request};
use crate::register::{CredentialRecord, Standing, Target};

type Created = (StatusCode, Json<CredentialReply>);

/// Sign one credential
#[utoipa::path(
    post,
    path = "/v1/credentials",
    tag = "credentials",
    request_body = CredentialRequest,
    params(("Idempotency-Key" = Option<String>, Header,
        pattern = r#"^([A-Za-z0-9._:-]{1,64}|"[A-Za-z0-9._:-]{1,64}")$"#,
        description = "The same key with the same body gets the same credential, also after a \
            crash")),
    responses(
        (status = 201, description = "Signed", body = CredentialReply),
        (status = 400, description = "Malformed, or the proof does not hold", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered, or the subject or device is denied",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 409, description = "The device key was used, or the request is under way",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 422, description = "No such class, or the key belongs to another request",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 429, description = "The quota is used up", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "No signature now; see Retry-After", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Created, Refusal> {
    let client = api.admit(&peer, &["platform"])?;
    let asked: CredentialRequest = json(&headers, &body)?;
    let request = Request {
        key: key(&headers, &peer.uri, uri.path(), &body)?,
        client: peer.uri,
        quota: client.daily_quota,
        items: vec![asked.check().map_err(malformed)?],
    };
    one(&api, request).await
}

/// Sign a batch, up to 4096 credentials, each with a result of its own
#[utoipa::path(
    post,
    path = "/v1/credentials/batch",
    tag = "credentials",
    request_body = BatchRequest,
    params(("Idempotency-Key" = Option<String>, Header,
        pattern = r#"^([A-Za-z0-9._:-]{1,64}|"[A-Za-z0-9._:-]{1,64}")$"#,
        description = "As for one credential; an item that was refused is judged again")),
    responses(
        (status = 200, description = "A result for each item", body = BatchReply),
        (status = 400, description = "Malformed", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 409, description = "The request is under way", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 422, description = "The key belongs to another request", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "No signature now; see Retry-After", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign_batch(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BatchReply>, Refusal> {
    let client = api.admit(&peer, &["platform"])?;
    let batch: BatchRequest = json(&headers, &body)?;
    let count = batch.items.len();
    if count == 0 || count > BATCH_MAX {
        return Err(malformed(format!(
            "items has {count} elements, not 1 to {BATCH_MAX}"
        )));
    }
    let items = batch.items.iter().enumerate().map(|(place, item)| {
        item.check()
            .map_err(|reason| malformed(format!("items[{place}]: {reason}")))
    });
    let request = Request {
        key: key(&headers, &peer.uri, uri.path(), &body)?,
        client: peer.uri,
        quota: client.daily_quota,
        items: items.collect::<Result<_, _>>()?,
    };
    let results = api.issuer.issue(request, api.now()).await?;
    let signed = results.iter().filter(|result| result.is_ok()).count();
    info!(count, signed, "batch answered");
    let results = results.into_iter().map(result).collect();
    Ok(Json(BatchReply { results }))
}

fn result(result: Result<IssuedCredential, IssueRefused>) -> BatchResult {
    match result {
        Ok(issued) => BatchResult::Signed(issued.into()),
        Err(refused) => {
            let problem = problem(&refused).into();
            BatchResult::Refused { problem }
        }
    }
}

/// Renew a credential: one more for the same subject, device and class
#[utoipa::path(
    post,
    path = "/v1/credentials/{cti}/renew",
    tag = "credentials",
    request_body = RenewalRequest,
    params(
        ("cti" = String, Path, pattern = "^[0-9a-f]{16}$",
            description = "16 hexadecimal digits, lower case"),
        ("Idempotency-Key" = Option<String>, Header,
            pattern = r#"^([A-Za-z0-9._:-]{1,64}|"[A-Za-z0-9._:-]{1,64}")$"#,
            description = "As for one credential"),
    ),
    responses(
        (status = 201, description = "Signed; the earlier one stays good until it expires",
            body = CredentialReply),
        (status = 400, description = "Malformed, or the proof does not hold", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered, or the subject or device is denied",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 404, description = "Not made here, or forgotten", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 409, description = "The device key was used, or the request is under way",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 422, description = "No such class, or the key belongs to another request",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 429, description = "The quota is used up", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "No signature now; see Retry-After", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn renew(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Created, Refusal> {
    let client = api.admit(&peer, &["platform"])?;
    let asked: RenewalRequest = json(&headers, &body)?;
    let prior = find(&api, &name).await?;
    let request = Request {
        key: key(&headers, &peer.uri, uri.path(), &body)?,
        client: peer.uri,
        quota: client.daily_quota,
        items: vec![asked.check(&prior).map_err(malformed)?],
    };
    one(&api, request).await
}

/// What became of a credential
#[utoipa::path(
    get,
    path = "/v1/credentials/{cti}",
    tag = "credentials",
    params(("cti" = String, Path, pattern = "^[0-9a-f]{16}$",
        description = "16 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "As the register has it", body = CredentialStatus),
        (status = 400, description = "No name of a credential", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "Not made here, or forgotten", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "The register gives no answer", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn status(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<CredentialStatus>, Refusal> {
    api.admit(&peer, &["platform"])?;
    let record = find(&api, &name).await?;
    let state = state(&api, &record).await?;
    Ok(Json(CredentialStatus::of(&record, state)))
}

async fn one(api: &Api, request: Request) -> Result<Created, Refusal> {
    let class = request.items.first().map(|item| item.class);
    let mut results = api.issuer.issue(request, api.now()).await?;
    match results.pop().unwrap_or(Err(IssueRefused::Unavailable)) {
        Ok(issued) => {
            info!(kid = %issued.kid, class, "credential issued");
            Ok((StatusCode::CREATED, Json(issued.into())))
        }
        Err(refused) => {
            info!(code = refused.code(), reason = %refused, "request refused");
            Err(refused.into())
        }
    }
}

pub(super) async fn find(api: &Api, name: &str) -> Result<CredentialRecord, Refusal> {
    let found = api
        .issuer
        .register()
        .credential(cti(name).map_err(malformed)?);
    found
        .await?
        .ok_or_else(|| IssueRefused::UnknownCredential.into())
}

/// The worse of what holds for its subject and for its device.
pub(super) async fn state(
    api: &Api,
    record: &CredentialRecord,
) -> Result<CredentialState, Refusal> {
    if api.now() >= record.claims.expires_at {
        return Ok(CredentialState::Expired);
    }
    let targets = [
        Some(Target::Subject(record.subject)),
        record.device.map(Target::Device),
    ];
    let mut worst = Standing::Active;
    for target in targets.into_iter().flatten() {
        match api
            .issuer
            .register()
            .standing(target)
            .await?
            .map(|held| held.standing)
        {
            Some(Standing::Revoked) => worst = Standing::Revoked,
            Some(Standing::Suspended) if worst == Standing::Active => worst = Standing::Suspended,
            _ => {}
        }
    }
    Ok(worst.into())
}
