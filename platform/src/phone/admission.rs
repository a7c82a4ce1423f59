//! Who asks: the key behind a request, and how many new ones there may be.

use std::{net::IpAddr, sync::Arc};

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use obol_account::{Passenger, dpop, dpop::Authenticated};
use obol_store::{AdmitRefused, Admitted, Fault};
use obol_transport::Problem;
use tracing::warn;

use crate::app::{App, StoredError, internal};

/// What becomes of a request to enrol.
pub(super) enum Newcomer {
    /// It goes on.
    Admitted(Admitted),
    /// There were too many before it; nothing was written.
    TooMany {
        /// When to ask again, seconds.
        retry_after_s: u32,
    },
}

/// Who holds the key that signed this very request, once: an enrolled key.
pub(super) async fn admit(
    app: &Arc<App>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Admitted, Problem> {
    let authenticated = authenticate(app, method, path, headers, body)?;
    let now = app.now();
    app.stored(move |store| store.admit(&authenticated, now))
        .await
        .map_err(not_admitted)
}

/// As [`admit`] for any key. One that nobody knows costs its address an enrolment.
pub(super) async fn admit_newcomer(
    app: &Arc<App>,
    authenticated: Authenticated,
    address: IpAddr,
) -> Result<Newcomer, Problem> {
    let (asked, now) = (authenticated.clone(), app.now());
    let known = app
        .stored(move |store| store.knows(&asked))
        .await
        .map_err(|error| error.problem(|fault: Fault| internal(fault)))?;
    if !known && let Err(retry_after_s) = app.enrolments.take(address, now) {
        warn!(%address, retry_after_s, "too many enrolments");
        return Ok(Newcomer::TooMany { retry_after_s });
    }
    app.stored(move |store| store.admit_newcomer(&authenticated, now))
        .await
        .map(Newcomer::Admitted)
        .map_err(not_admitted)
}

/// 429 with the seconds to wait (RFC 9110 section 10.2.3).
pub(super) fn too_many_enrolments(retry_after_s: u32) -> Response {
    let title = "Too many enrolments";
    let detail = format!("ask again in {retry_after_s} s");
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = Problem::new(status, "too-many-enrolments", title, detail).into_response();
    let seconds = HeaderValue::from(retry_after_s);
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// Whose key signed this very request; it may have been sent before.
pub(super) fn authenticate(
    app: &App,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Authenticated, Problem> {
    let mut proofs = headers.get_all("DPoP").iter();
    let (Some(proof), None) = (proofs.next(), proofs.next()) else {
        return Err(unauthorised(
            "the request carries no DPoP header, or more than one".to_owned(),
        ));
    };
    let url = format!("{}{path}", app.config.public_url);
    let request = dpop::Request {
        method: method.as_str(),
        url: &url,
        body,
    };
    dpop::verify(proof.as_bytes(), &request, app.now())
        .map_err(|refused| unauthorised(refused.to_string()))
}

/// The passenger whose key it is.
pub(super) async fn passenger(app: &App, admitted: Admitted) -> Result<Passenger, Problem> {
    let found = app
        .stored(move |store| store.passenger_of(&admitted))
        .await
        .map_err(|error| error.problem(internal))?;
    found.ok_or_else(not_enrolled)
}

fn not_admitted(error: StoredError<AdmitRefused>) -> Problem {
    error.problem(|refused| match refused {
        AdmitRefused::Replayed { .. } => unauthorised(refused.to_string()),
        AdmitRefused::NotEnrolled(_) => not_enrolled(),
        AdmitRefused::Fault(fault) => internal(fault),
    })
}

fn not_enrolled() -> Problem {
    let detail = "enrol first: POST /v1/passengers with the same key";
    let title = "The key is not enrolled";
    Problem::new(StatusCode::FORBIDDEN, "key-not-enrolled", title, detail)
}

fn unauthorised(detail: String) -> Problem {
    let title = "The request does not prove its key";
    Problem::new(StatusCode::UNAUTHORIZED, "proof-refused", title, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_turned_away_reads_when_to_come_back() {
        let response = too_many_enrolments(60);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "60");
    }
}
