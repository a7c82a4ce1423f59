//! What phones ask for. Each request proves its enrolled key by DPoP (RFC 9449).

mod wire;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD;
use obol_account::{Passenger, SubjectHandle, dpop};
use obol_credential::Credential;
use obol_issuer_client::{Issued, IssuerClientError};
use obol_payment::{
    channel::Channel,
    order::{Order, OrderNumber},
};
use obol_store::{
    AdmitRefused, Admitted, AuthoriseIssueRefused, BindRefused, CreateOrderRefused, EnrolRefused,
    Enrolment, StatementRefused,
};
use obol_transport::{Bytes, Problem};
use tracing::info;

use crate::{
    app::{App, internal},
    bank,
};

const REQUEST_MAX: usize = 8 * 1024;

/// The API for phones and, beside it, the channels' callbacks; TLS without client certificates.
pub fn passenger_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/passengers", post(enrol))
        .route("/v1/recharges", post(recharge))
        .route("/v1/credentials", post(credential))
        .route("/v1/statement", get(statement))
        .route(bank::NOTIFY_PATH, post(bank::notify))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(app)
}

async fn enrol(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let admitted = admit(&app, &method, "/v1/passengers", &headers, &body).await?;
    let _nothing: wire::Enrol = parse(&body)?;
    let (subject, now) = (SubjectHandle(random()?), app.now());
    let enrolment = app
        .stored(move |store| store.enrol_passenger(&admitted, subject, now))
        .await
        .map_err(|error| error.problem(|refused: EnrolRefused| internal(refused)))?;
    let (status, passenger) = match enrolment {
        Enrolment::Created(passenger) => (StatusCode::CREATED, passenger),
        Enrolment::Existing(passenger) => (StatusCode::OK, passenger),
    };
    info!(account = %passenger.number, ?status, "passenger enrolled");
    let account = passenger.number.get();
    let reply = wire::Enrolled {
        account,
        subject: passenger.subject.to_string(),
    };
    Ok((status, Json(reply)).into_response())
}

async fn recharge(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let admitted = admit(&app, &method, "/v1/recharges", &headers, &body).await?;
    let asked: wire::Recharge = parse(&body)?;
    let passenger = passenger(&app, admitted).await?;
    let channel = Channel::from_name(&asked.channel).ok_or_else(|| {
        unprocessable("channel-unknown", "There is no such channel", asked.channel)
    })?;
    let number = OrderNumber::new(passenger.number.wallet(), random()?);
    let order = Order::open(
        number,
        passenger.number.wallet(),
        asked.amount_minor,
        channel,
        app.now(),
    )
    .map_err(|refused| {
        unprocessable(
            "amount-out-of-range",
            "The amount is out of range",
            refused.to_string(),
        )
    })?;
    app.stored(move |store| store.create_order(&order))
        .await
        .map_err(|error| error.problem(|refused: CreateOrderRefused| internal(refused)))?;
    info!(order = %number, amount_minor = asked.amount_minor, "recharge ordered");
    let reply = wire::Ordered {
        order: number.to_string(),
        pay_url: app.config.simulated_bank.pay_url.clone(),
        notify_url: format!("{}{}", app.config.public_url, bank::NOTIFY_PATH),
        amount_minor: asked.amount_minor,
        currency: app.packs.current().currency().as_str().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

async fn credential(
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
    let (number, floor) = (passenger.number, app.config.credential_floor);
    app.stored(move |store| store.authorise_issue(number, floor))
        .await
        .map_err(|error| error.problem(not_authorised))?;
    let issued = app
        .issuer
        .sign_credential(&passenger.subject.0, app.config.class, &possession)
        .await
        .map_err(not_issued)?;
    bind(&app, &issued, number).await?;
    let expires_at = issued.expires_at.0;
    let credential = BASE64URL_NOPAD.encode(&issued.credential);
    Ok((
        StatusCode::CREATED,
        Json(wire::Issued {
            credential,
            expires_at,
        }),
    )
        .into_response())
}

/// Notes whose rides the credential pays, durably, before the phone can ride with it.
async fn bind(
    app: &App,
    issued: &Issued,
    number: obol_account::AccountNumber,
) -> Result<(), Problem> {
    let credential = Credential::decode(&issued.credential).map_err(internal)?;
    let (kid, cti, expires_at) = (credential.kid(), credential.claims().cti, issued.expires_at);
    app.stored(move |store| store.bind_credential(kid, cti, number, expires_at))
        .await
        .map_err(|error| error.problem(|refused: BindRefused| internal(refused)))
}

async fn statement(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<wire::Statement>, Problem> {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let admitted = admit(&app, &method, "/v1/statement", &headers, &[]).await?;
    let number = passenger(&app, admitted).await?.number;
    let statement = app
        .stored(move |store| store.statement(number, 0, u32::MAX))
        .await
        .map_err(|error| error.problem(no_statement))?;
    Ok(Json(wire::Statement::of(&statement)))
}

/// Who holds the key that signed this very request, once.
async fn admit(
    app: &App,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Admitted, Problem> {
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
    let authenticated = dpop::verify(proof.as_bytes(), &request, app.now())
        .map_err(|refused| unauthorised(refused.to_string()))?;
    let now = app.now();
    app.stored(move |store| store.admit(&authenticated, now))
        .await
        .map_err(|error| {
            error.problem(|refused| match refused {
                AdmitRefused::Replayed { .. } => unauthorised(refused.to_string()),
                AdmitRefused::Fault(fault) => internal(fault),
            })
        })
}

async fn passenger(app: &App, admitted: Admitted) -> Result<Passenger, Problem> {
    let found = app
        .stored(move |store| store.passenger_of(&admitted))
        .await
        .map_err(|error| error.problem(internal))?;
    found.ok_or_else(|| {
        let detail = "enrol first: POST /v1/passengers with the same key";
        Problem::new(
            StatusCode::FORBIDDEN,
            "key-not-enrolled",
            "The key is not enrolled",
            detail,
        )
    })
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let title = "The body is not the JSON of the request";
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            title,
            error.to_string(),
        )
    })
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(internal)?;
    Ok(bytes)
}

fn unauthorised(detail: String) -> Problem {
    let title = "The request does not prove its key";
    Problem::new(StatusCode::UNAUTHORIZED, "proof-refused", title, detail)
}

fn unprocessable(code: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
}

fn not_authorised(refused: AuthoriseIssueRefused) -> Problem {
    let (code, title) = match &refused {
        AuthoriseIssueRefused::NotCovered { .. } => ("balance-too-low", "The balance is too low"),
        AuthoriseIssueRefused::NotActive(..) => ("account-frozen", "The account is frozen"),
        AuthoriseIssueRefused::UnknownAccount(_) | AuthoriseIssueRefused::Fault(_) => {
            return internal(refused);
        }
    };
    Problem::new(StatusCode::FORBIDDEN, code, title, refused.to_string())
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

fn no_statement(refused: StatementRefused) -> Problem {
    match refused {
        StatementRefused::TooLong(_) => unprocessable(
            "statement-too-long",
            "The statement has too many lines",
            refused.to_string(),
        ),
        other => internal(other),
    }
}
