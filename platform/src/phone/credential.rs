//! Credentials: limits act here, before the issuer is asked.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use obol_account::{AccountNumber, Passenger};
use obol_credential::Credential;
use obol_issuer_client::{Ask, Issued, IssuerClientError, RequestKey};
use obol_store::{AuthoriseIssueRefused, BindRefused};
use obol_transport::{Bytes, Problem};

use super::{
    admission::{admit, passenger},
    parse, random, unprocessable, wire,
};
use crate::app::{App, internal};

/// Has a credential issued for a fresh device key of the passenger.
pub(super) async fn issue(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let admitted = admit(&app, &method, "/v1/credentials", &headers, &body).await?;
    let asked: wire::AskCredential = parse(&body)?;
    let possession = BASE64URL_NOPAD
        .decode(asked.possession.as_bytes())
        .map_err(|error| {
            unprocessable(
                "possession-malformed",
                "The proof does not parse",
                error.to_string(),
            )
        })?;
    let passenger = passenger(&app, admitted).await?;
    // On a task of its own: whoever hangs up after the issuer was asked still has one more live
    // credential, and it is counted.
    let issued = tokio::spawn(sign_and_bind(app, passenger, possession)).await;
    let issued = issued.map_err(internal)??;
    let credential = BASE64URL_NOPAD.encode(&issued.credential);
    let reply = wire::Issued {
        credential,
        expires_at: issued.expires_at.0,
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

async fn sign_and_bind(
    app: Arc<App>,
    passenger: Passenger,
    possession: Vec<u8>,
) -> Result<Issued, Problem> {
    let (number, floor, now) = (passenger.number, app.config.credential_floor, app.now());
    let _turn = app.issuing.begin(number).ok_or_else(in_progress)?;
    app.stored(move |store| store.authorise_issue(number, floor, now))
        .await
        .map_err(|error| error.problem(not_authorised))?;
    let ask = Ask {
        subject: passenger.subject.0,
        device: None,
        class: app.config.class,
        possession,
    };
    let key = RequestKey::new(random()?);
    let issued = app.issuer.sign(key, &ask).await.map_err(not_issued)?;
    bind(&app, &issued, number).await?;
    Ok(issued)
}

/// Notes whose rides the credential pays, durably, before the phone can ride with it.
async fn bind(app: &App, issued: &Issued, number: AccountNumber) -> Result<(), Problem> {
    let credential = Credential::decode(&issued.credential).map_err(internal)?;
    let (kid, cti, expires_at) = (credential.kid(), credential.claims().cti, issued.expires_at);
    let now = app.now();
    app.stored(move |store| store.bind_credential(kid, cti, number, expires_at, now))
        .await
        .map_err(|error| error.problem(|refused: BindRefused| internal(refused)))
}

fn in_progress() -> Problem {
    let detail = "wait for the answer to the request before";
    let title = "A credential is being issued to this account";
    Problem::new(
        StatusCode::CONFLICT,
        "credential-in-progress",
        title,
        detail,
    )
}

fn not_authorised(refused: AuthoriseIssueRefused) -> Problem {
    let forbidden = StatusCode::FORBIDDEN;
    let (status, code, title) = match &refused {
        AuthoriseIssueRefused::NotCovered { .. } => {
            (forbidden, "balance-too-low", "The balance is too low")
        }
        AuthoriseIssueRefused::NotActive(..) => {
            (forbidden, "account-frozen", "The account is frozen")
        }
        AuthoriseIssueRefused::CounterReused(_) => (
            forbidden,
            "credential-denied",
            "The account gets no credential",
        ),
        AuthoriseIssueRefused::TooMany { .. } => {
            let title = "The account has too many live credentials";
            (StatusCode::TOO_MANY_REQUESTS, "too-many-credentials", title)
        }
        AuthoriseIssueRefused::UnknownAccount(_) | AuthoriseIssueRefused::Fault(_) => {
            return internal(refused);
        }
    };
    Problem::new(status, code, title, refused.to_string())
}

/// The issuer's word on the phone's proof goes on to the phone; all else is ours to mend.
fn not_issued(error: IssuerClientError) -> Problem {
    match error {
        IssuerClientError::Refused(problem)
            if problem.code.starts_with("possession-") || problem.code == "device-key-reused" =>
        {
            problem
        }
        IssuerClientError::Possession(malformed) => unprocessable(
            "possession-malformed",
            "The proof does not parse",
            malformed.to_string(),
        ),
        other => {
            let logged = internal(other);
            Problem {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "issuer-unavailable".into(),
                title: "No credential can be issued now".into(),
                ..logged
            }
        }
    }
}
