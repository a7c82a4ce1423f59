use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::Reply;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// What c2sp.org/tlog-witness demands as the body of a 409, in the place of a problem.
const TLOG_SIZE: &str = "text/x.tlog.size";
const MAX_REJECTION_TEXT: usize = 1024;

/// A refused request, RFC 9457: what a service answers and what a client reads back.
///
/// `code` is stable and for machines; `title` is one short sentence; `detail` names the value seen.
/// What went wrong inside is logged, never sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{title} ({code}): {detail}")]
pub struct Problem {
    /// The HTTP status, 4xx or 5xx.
    pub status: StatusCode,
    /// Stable, lower case with hyphens.
    pub code: Cow<'static, str>,
    /// What this code always means.
    pub title: Cow<'static, str>,
    /// What is wrong with this request.
    pub detail: String,
}

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    title: Cow<'a, str>,
    status: u16,
    detail: Cow<'a, str>,
    code: Cow<'a, str>,
}

impl Problem {
    /// A problem of a service's own making.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            title: title.into(),
            detail: detail.into(),
        }
    }

    /// 500 with nothing of the inside in it: log the cause where it is handled.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The service failed",
            "the reason is in the service's log",
        )
    }

    /// Reads the problem of a reply that is no success; a reply that is no RFC 9457 document
    /// becomes the code
    /// `unexpected-reply`.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        Self::parse(reply).unwrap_or_else(|| {
            Self::new(
                reply.status,
                "unexpected-reply",
                "The service answered with something else than a problem document",
                format!(
                    "status {} with {:?}",
                    reply.status.as_u16(),
                    reply.content_type
                ),
            )
        })
    }

    fn parse(reply: &Reply) -> Option<Self> {
        if media_type(&reply.content_type) != PROBLEM_JSON {
            return None;
        }
        let document: Document<'_> = serde_json::from_slice(&reply.body).ok()?;
        Some(Self {
            status: reply.status,
            code: document.code.into_owned().into(),
            title: document.title.into_owned().into(),
            detail: document.detail.into_owned(),
        })
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: format!("urn:obol:problem:{}", self.code).into(),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.into(),
            code: self.code,
        };
        let body = serde_json::to_vec(&document).expect("strings and a number are JSON");
        (self.status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
    }
}

/// What the router refuses by itself (no route, wrong method, body too large, bad JSON) becomes a
/// problem too.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    if !(status.is_client_error() || status.is_server_error())
        || content_type == Some(PROBLEM_JSON.as_bytes())
        || (status == StatusCode::CONFLICT && content_type == Some(TLOG_SIZE.as_bytes()))
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let detail = rejection_text(body)
        .await
        .unwrap_or_else(|| title_of(status).to_owned());
    let problem = Problem::new(status, code_of(status), title_of(status), detail).into_response();
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    Response::from_parts(parts, problem.into_body())
}

async fn rejection_text(body: Body) -> Option<String> {
    let bytes = axum::body::to_bytes(body, MAX_REJECTION_TEXT).await.ok()?;
    String::from_utf8(bytes.to_vec())
        .ok()
        .filter(|text| !text.is_empty())
}

fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "body-too-large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable-body",
        status if status.is_client_error() => "bad-request",
        _ => "internal",
    }
}

fn title_of(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;
    use hyper::body::Bytes;

    fn reply(content_type: &str, body: &'static [u8]) -> Reply {
        let content_type = content_type.to_owned();
        Reply {
            date: None,
            status: StatusCode::CONFLICT,
            content_type,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body),
        }
    }

    #[tokio::test]
    async fn a_problem_survives_the_way_to_the_client() {
        let sent = Problem::new(
            StatusCode::CONFLICT,
            "device-key-reused",
            "Key was used",
            "02ab",
        );
        let (parts, body) = sent.clone().into_response().into_parts();
        let body = axum::body::to_bytes(body, 4096).await.unwrap();
        let content_type = parts.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let read = Problem::from_reply(&Reply {
            date: None,
            status: parts.status,
            content_type,
            headers: parts.headers,
            body,
        });
        assert_eq!(read, sent);
    }

    #[tokio::test]
    async fn only_a_409_may_carry_a_log_size_in_the_place_of_a_problem() {
        async fn sent(status: StatusCode, content_type: &'static str) -> (String, String) {
            let answer = (status, [(CONTENT_TYPE, content_type)], "7\n").into_response();
            let (parts, body) = as_problem(answer).await.into_parts();
            let body = axum::body::to_bytes(body, 4096).await.unwrap();
            let kind = parts.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
            (kind, String::from_utf8(body.to_vec()).unwrap())
        }
        let size = sent(StatusCode::CONFLICT, TLOG_SIZE).await;
        assert_eq!(size, (TLOG_SIZE.to_owned(), "7\n".to_owned()));
        for (status, content_type, code) in [
            (StatusCode::BAD_REQUEST, TLOG_SIZE, "bad-request"),
            (StatusCode::FORBIDDEN, TLOG_SIZE, "bad-request"),
            (StatusCode::NOT_FOUND, TLOG_SIZE, "not-found"),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                TLOG_SIZE,
                "unprocessable-body",
            ),
            (StatusCode::INTERNAL_SERVER_ERROR, TLOG_SIZE, "internal"),
            (StatusCode::CONFLICT, "text/plain", "bad-request"),
        ] {
            let (kind, body) = sent(status, content_type).await;
            assert_eq!(kind, PROBLEM_JSON, "{status}");
            let code = format!("\"code\":\"{code}\"");
            assert!(body.contains(&code), "{status}: {body}");
        }
    }

    #[test]
    fn a_reply_that_is_no_problem_document_is_named_as_such() {
        for reply in [
            reply("text/html", b"<h1>"),
            reply(PROBLEM_JSON, b"{}"),
            reply(PROBLEM_JSON, b"\xff"),
        ] {
            assert_eq!(Problem::from_reply(&reply).code, "unexpected-reply");
        }
    }
}
