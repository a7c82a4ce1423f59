//! What every request has: a name, a place in the metrics, and perhaps a key.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::HEXLOWER;
use obol_transport::{Peer, Problem};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::{Instrument, info_span, warn};

use super::Api;
use super::answer::{Refusal, malformed};
use crate::register::RequestKey;

const REQUEST_ID: &str = "x-request-id";
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const NAME_MAX: usize = 64;

/// Names the request, by the client's `X-Request-Id` where it is usable, and counts it.
pub(super) async fn note(
    State(api): State<Arc<Api>>,
    path: Option<MatchedPath>,
    request: Request<axum::body::Body>,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = path.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let given = request.headers().get(REQUEST_ID).and_then(name_of);
    let id = given.map_or_else(fresh_id, str::to_owned);
    let client = request
        .extensions()
        .get::<Peer>()
        .map(|peer| peer.uri.clone());
    let span = info_span!("request", id, route, client);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    api.issuer
        .metrics()
        .answered(&route, status, begun.elapsed());
    response
}

/// A name that may stand in a log: 1 to 64 of letters, digits and `-._:`.
fn name_of(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let fits = !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(usable);
    fits.then_some(text)
}

fn fresh_id() -> String {
    let mut bytes = [0; 16];
    if let Err(cause) = getrandom::fill(&mut bytes) {
        warn!(%cause, "a request has no name of its own");
    }
    HEXLOWER.encode(&bytes)
}

/// The request's `Idempotency-Key`, bound to its client and to what it asks.
pub(super) fn key(
    headers: &HeaderMap,
    client: &str,
    path: &str,
    body: &[u8],
) -> Result<Option<RequestKey>, Refusal> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let name = unquoted(value).and_then(|value| name_of(&value).map(str::to_owned));
    let (Some(name), None) = (name, values.next()) else {
        let title = "The idempotency key is not usable";
        let detail = "Idempotency-Key is not one name of 1 to 64 letters, digits and -._:";
        let status = StatusCode::BAD_REQUEST;
        return Err(Problem::new(status, "idempotency-key-malformed", title, detail).into());
    };
    let id = Sha256::new()
        .chain_update(client)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    let digest = Sha256::new()
        .chain_update(path)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    let id: [u8; 32] = id.into();
    let (id, _) = id.split_first_chunk().expect("32 bytes begin with 16");
    Ok(Some(RequestKey {
        id: *id,
        digest: digest.into(),
    }))
}

/// The draft of the header makes it a quoted string; many clients leave the quotes away.
fn unquoted(value: &HeaderValue) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    let inner = match bytes {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    HeaderValue::from_bytes(inner).ok()
}

/// A body that says it is JSON and is.
pub(super) fn json<'a, T: Deserialize<'a>>(
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<T, Refusal> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        let title = "The body is of another type";
        let detail = format!("Content-Type is {content_type:?}, not application/json");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-media-type", title, detail).into());
    }
    serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(value: &'static str) -> Result<Option<RequestKey>, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static(value));
        key(&headers, "obol://platform/main", "/v1/credentials", b"{}")
    }

    #[test]
    fn a_key_with_and_without_quotes_is_the_same_key() {
        assert_eq!(keyed("abc-1").unwrap(), keyed("\"abc-1\"").unwrap());
        assert_ne!(keyed("abc-1").unwrap(), keyed("abc-2").unwrap());
    }

    #[test]
    fn a_key_is_its_clients_own() {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
        let of = |client| key(&headers, client, "/", b"").unwrap().unwrap().id;
        assert_ne!(of("obol://platform/a"), of("obol://platform/b"));
    }

    #[test]
    fn a_key_that_is_empty_long_odd_or_given_twice_is_refused() {
        let long = "a".repeat(65);
        for value in ["", "\"\"", "a b", "\"a", long.leak()] {
            keyed(value).unwrap_err();
        }
        let mut headers = HeaderMap::new();
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        key(&headers, "", "", b"").unwrap_err();
    }
}
