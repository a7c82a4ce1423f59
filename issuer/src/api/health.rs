use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use obol_transport::{Peer, Problem};
use tracing::error;

use super::Api;
use super::answer::Refusal;
use super::wire::ProblemReply;

const ANYBODY: [&str; 3] = ["platform", "terminal", "issuer"];

/// Whether the service answers at all
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn healthz(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<&'static str, Refusal> {
    api.admit(&peer, &ANYBODY)?;
    Ok("ok\n")
}

/// Whether a credential could be signed now
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "The disk takes writes, the daemon answers and serves a key \
            in force whose token signs; then a line for each certificate and list, and when it runs out",
            body = String, content_type = "text/plain"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "One of them does not", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<String, Refusal> {
    api.admit(&peer, &ANYBODY)?;
    let now = api.now();
    api.issuer.check(now).await?;
    let expiries = api.issuer.expiries();
    let lines = expiries.iter().map(|expiry| expiry.line(now));
    Ok(std::iter::once("ready\n".to_owned()).chain(lines).collect())
}

/// Counters in Prometheus' text format
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses(
        (status = 200, description = "OpenMetrics 1.0", body = String,
            content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Refusal> {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    api.admit(&peer, &["platform", "issuer"])?;
    let (waiting, away) = (api.issuer.waiting(), api.issuer.away(api.now()));
    let text = api.issuer.metrics();
    let text = text.text(waiting, away, &api.issuer.expiries());
    let text = text.map_err(|cause| {
        error!(%cause, "the metrics cannot be written");
        Problem::internal()
    })?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
