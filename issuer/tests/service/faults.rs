//! What a network and a busy issuer do to requests: a layer between TLS and the real service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{Full, Limited};
use obol_transport::{Bytes, Problem};

const BODY_MAX: usize = 4 * 1024 * 1024;

/// Each says how many of the next requests it happens to.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The request is served, and the connection breaks before its answer.
    pub(crate) lose_answers: AtomicU32,
    /// The connection breaks before the request is served.
    pub(crate) lose_requests: AtomicU32,
    /// The request is served twice at once; the second answer is sent.
    pub(crate) duplicate: AtomicU32,
    /// `overloaded`, to come again after a second.
    pub(crate) shed: AtomicU32,
    /// Requests that arrived, but for those on readiness.
    pub(crate) arrived: AtomicU32,
}

impl Faults {
    pub(crate) fn set(&self, fault: fn(&Self) -> &AtomicU32, times: u32) {
        fault(self).store(times, Ordering::SeqCst);
    }

    pub(crate) fn arrived(&self) -> u32 {
        self.arrived.load(Ordering::SeqCst)
    }

    fn strikes(fault: &AtomicU32) -> bool {
        let less = |times: u32| times.checked_sub(1);
        fault
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }
}

pub(crate) async fn apply(
    State(faults): State<Arc<Faults>>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() != "/readyz" {
        faults.arrived.fetch_add(1, Ordering::SeqCst);
    }
    if Faults::strikes(&faults.shed) {
        let title = "Too much is waiting";
        let busy = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            title,
            "later",
        );
        return ([(RETRY_AFTER, "1")], busy).into_response();
    }
    if Faults::strikes(&faults.lose_requests) {
        return broken();
    }
    if Faults::strikes(&faults.duplicate) {
        return twice(request, next).await;
    }
    let lost = Faults::strikes(&faults.lose_answers);
    let answer = next.run(request).await;
    if lost { broken() } else { answer }
}

/// Ends the connection in the middle of an answer: the body is longer than its limit.
fn broken() -> Response {
    let body = Full::new(Bytes::from_static(b"{}"));
    Response::new(Body::new(Limited::new(body, 1)))
}

async fn twice(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
    let copy = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    let (first, second) = (next.clone().run(copy()), next.run(copy()));
    tokio::join!(first, second).1
}
