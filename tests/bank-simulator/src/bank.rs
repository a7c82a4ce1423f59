use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use obol_console::unix_now;
use obol_transport::HttpsClient;
use serde::{Deserialize, Serialize};

use crate::BankKey;
use crate::delivery::{Notice, deliver};

/// The longest payment order, in bytes.
const PAYMENT_MAX: usize = 4096;

/// How often each notice is sent, 1..=100: payees must cope with more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat(u8);

impl Repeat {
    /// `None` outside 1..=100.
    #[must_use]
    pub fn new(times: u8) -> Option<Repeat> {
        (1..=100).contains(&times).then_some(Repeat(times))
    }
}

/// A bank with one key and no money.
pub struct Bank {
    /// Signs notices.
    pub key: BankKey,
    /// Reaches payees.
    pub client: HttpsClient,
    /// How often each notice is sent.
    pub repeat: Repeat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    order: String,
    amount_minor: i64,
    currency: String,
    notify_url: String,
}

#[derive(Serialize)]
struct Paid {
    transaction: String,
}

/// `POST /pay`: takes a payment from a passenger's banking app, answers with the transaction, and
/// then tells the payee.
pub fn router(bank: Bank) -> Router {
    Router::new()
        .route("/pay", post(pay))
        .layer(DefaultBodyLimit::max(PAYMENT_MAX))
        .with_state(Arc::new(bank))
}

async fn pay(
    State(bank): State<Arc<Bank>>,
    Json(payment): Json<Payment>,
) -> Result<Json<Paid>, (StatusCode, String)> {
    check(&payment).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
    let paid_at = unix_now();
    let transaction = new_transaction(paid_at)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let notice = Notice {
        transaction: transaction.clone(),
        order: payment.order,
        amount_minor: payment.amount_minor,
        currency: payment.currency,
        paid_at,
    };
    tokio::spawn(async move {
        for _ in 0..bank.repeat.0 {
            deliver(&bank.client, &bank.key, &payment.notify_url, &notice).await;
        }
    });
    Ok(Json(Paid { transaction }))
}

/// The bank pays whatever it is told to; only nonsense is refused.
fn check(payment: &Payment) -> Result<(), String> {
    if payment.amount_minor <= 0 {
        return Err(format!(
            "amount_minor {} is not positive\n",
            payment.amount_minor
        ));
    }
    if !payment.notify_url.starts_with("https://") {
        return Err(format!(
            "notify_url {:?} is not https\n",
            payment.notify_url
        ));
    }
    Ok(())
}

fn new_transaction(now: u32) -> Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(format!(
        "SB{now}-{}",
        data_encoding::HEXLOWER.encode(&random)
    ))
}
