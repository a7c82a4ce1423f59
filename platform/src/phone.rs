//! What phones ask for. Each request proves its enrolled key by DPoP (RFC 9449).

mod admission;
mod credential;
mod wire;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use obol_account::{AccountNumber, SubjectHandle};
use obol_payment::{
    channel::Channel,
    order::{Order, OrderNumber},
};
use obol_store::{CreateOrderRefused, EnrolRefused, Enrolment, Fault, StatementRefused};
use obol_transport::{Bytes, Problem};
use tracing::info;

use crate::{
    app::{App, internal},
    bank,
};
use admission::{Newcomer, admit, admit_newcomer, authenticate, passenger, too_many_enrolments};

const REQUEST_MAX: usize = 8 * 1024;

/// The API for phones and, beside it, the channels' callbacks; TLS without client certificates.
pub fn passenger_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/passengers", post(enrol))
        .route("/v1/recharges", post(recharge))
        .route("/v1/credentials", post(credential::issue))
        .route("/v1/statement", get(statement))
        .route(bank::NOTIFY_PATH, post(bank::notify))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .with_state(app)
}

async fn enrol(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let authenticated = authenticate(&app, &method, "/v1/passengers", &headers, &body)?;
    let _nothing: wire::Enrol = parse(&body)?;
    let admitted = match admit_newcomer(&app, authenticated, address.ip()).await? {
        Newcomer::Admitted(admitted) => admitted,
        Newcomer::TooMany { retry_after_s } => return Ok(too_many_enrolments(retry_after_s)),
    };
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
    // Before the order: a fault behind it would have the phone ask for another.
    let renewal = renewal(&app, passenger.number).await?;
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
        renewal,
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

async fn statement(
    State(app): State<Arc<App>>,
    Query(period): Query<wire::Period>,
    method: Method,
    headers: HeaderMap,
) -> Result<Json<wire::Statement>, Problem> {
    let admitted = admit(&app, &method, "/v1/statement", &headers, &[]).await?;
    let number = passenger(&app, admitted).await?.number;
    let statement = app
        .stored(move |store| match period {
            wire::Period {
                from: None,
                until: None,
            } => store.latest_statement(number),
            wire::Period { from, until } => {
                store.statement(number, from.unwrap_or(0), until.unwrap_or(u32::MAX))
            }
        })
        .await
        .map_err(|error| error.problem(no_statement))?;
    let renewal = renewal(&app, number).await?;
    Ok(Json(wire::Statement::of(&statement, renewal)))
}

/// What a phone is told whatever it came for.
async fn renewal(app: &App, number: AccountNumber) -> Result<wire::Renewal, Problem> {
    let now = app.now();
    let marked = app.stored(move |store| store.credentials_to_renew(number, now));
    let marked = marked
        .await
        .map_err(|error| error.problem(|fault: Fault| internal(fault)))?;
    Ok(wire::Renewal::of(&marked))
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

fn unprocessable(code: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
}

fn no_statement(refused: StatementRefused) -> Problem {
    match refused {
        StatementRefused::TooLong(_) => unprocessable(
            "statement-too-long",
            "The statement has too many lines",
            refused.to_string(),
        ),
        StatementRefused::Period { .. } => unprocessable(
            "period-reversed",
            "The period ends before it begins",
            refused.to_string(),
        ),
        other => internal(other),
    }
}
