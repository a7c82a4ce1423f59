//! What a passenger's banking app does: asks the bank to pay an order.

use std::time::Duration;

use axum::body::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use miette::{Diagnostic, IntoDiagnostic};
use obol_console::Outcome;
use serde::Serialize;
use thiserror::Error;

const DEADLINE: Duration = Duration::from_secs(10);
const REPLY_MAX: usize = 4096;

/// A payment, as the order asks for it.
#[derive(Args, Serialize)]
pub(crate) struct Payment {
    /// Where the bank takes payments: the order's pay_url.
    #[arg(long)]
    #[serde(skip)]
    bank: String,
    /// The order's number.
    #[arg(long)]
    order: String,
    /// How much, in minor units.
    #[arg(long)]
    amount_minor: i64,
    /// ISO 4217.
    #[arg(long)]
    currency: String,
    /// Whom the bank shall tell: the order's notify_url.
    #[arg(long)]
    notify_url: String,
}

#[derive(Debug, Error, Diagnostic)]
enum PayError {
    #[error("--bank {0:?} is not an http:// address")]
    #[diagnostic(help("give the pay_url of the order"))]
    Address(String),
    #[error("the bank at {bank} cannot be reached")]
    #[diagnostic(help("start `bank-simulator serve`, or correct --bank"))]
    Unreachable { bank: String, source: Error },
    #[error("the bank at {0} did not answer within 10 s")]
    #[diagnostic(help("look at the bank's log"))]
    Deadline(String),
    #[error("the bank refused with {status}: {reason}")]
    #[diagnostic(code(refused::payment), help("correct the payment"))]
    Refused { status: u16, reason: String },
}

pub(crate) async fn pay(payment: &Payment) -> miette::Result<Outcome> {
    let bank = &payment.bank;
    let body = serde_json::to_vec(payment).into_diagnostic()?;
    let request = axum::http::Request::post(bank.as_str())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| PayError::Address(bank.clone()))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let reply = tokio::time::timeout(DEADLINE, client.request(request))
        .await
        .map_err(|_| PayError::Deadline(bank.clone()))?
        .map_err(|source| PayError::Unreachable {
            bank: bank.clone(),
            source,
        })?;
    let status = reply.status();
    let body = Limited::new(reply.into_body(), REPLY_MAX).collect().await;
    let body = body
        .map_err(|error| miette::miette!("the bank's answer: {error}"))?
        .to_bytes();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    if !status.is_success() {
        return Err(PayError::Refused {
            status: status.as_u16(),
            reason: text,
        }
        .into());
    }
    println!("{text}");
    Ok(Outcome::Done)
}
