//! Telling the payee, again and again, as banks do.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use obol_console::unix_now;
use obol_transport::HttpsClient;
use serde::Serialize;
use tracing::{info, warn};

use crate::BankKey;

/// Pauses before the second, third … attempt to deliver one notice.
const RETRY_AFTER: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// What the bank tells the payee.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// The bank's name of the payment.
    pub transaction: String,
    /// The payee's order.
    pub order: String,
    /// What was paid, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// When it was paid, seconds since 1970, UTC.
    pub paid_at: u32,
}

/// Delivers one notice, trying again while the payee does not answer 200 `success`.
pub(crate) async fn deliver(client: &HttpsClient, key: &BankKey, url: &str, notice: &Notice) {
    let transaction = &notice.transaction;
    for pause in RETRY_AFTER.into_iter().map(Some).chain([None]) {
        match attempt(client, key, url, notice).await {
            Ok(()) => return info!(%transaction, url, "notice delivered"),
            Err(reason) => warn!(%transaction, url, reason, "notice not taken"),
        }
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => warn!(%transaction, url, "notice given up"),
        }
    }
}

async fn attempt(
    client: &HttpsClient,
    key: &BankKey,
    url: &str,
    notice: &Notice,
) -> Result<(), String> {
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    // Signed anew for each attempt: the payee refuses a signature older than five minutes.
    let signature = key
        .signature_header(&body, unix_now())
        .map_err(|error| error.to_string())?;
    let request = Request::post(url)
        .header("Content-Type", "application/json")
        .header("Bank-Signature", signature)
        .body(Bytes::from(body))
        .map_err(|error| error.to_string())?;
    let reply = client
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    if reply.status.as_u16() == 200 && reply.body.trim_ascii() == b"success" {
        return Ok(());
    }
    let text: String = String::from_utf8_lossy(&reply.body)
        .chars()
        .take(200)
        .collect();
    Err(format!("{} {text}", reply.status))
}
