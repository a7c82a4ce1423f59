//! The simulated bank's signed callback: the only way money comes in.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use obol_payment::channel::simulated_bank::{SIGNATURE_HEADER, parse_notify};
use obol_store::{Credit, CreditRefused};
use obol_transport::{Bytes, Problem};
use tracing::{info, warn};

use crate::app::{App, internal};

/// Where the bank posts its notices.
pub const NOTIFY_PATH: &str = "/v1/channels/simulated-bank/notify";

pub(crate) async fn notify(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<&'static str, Problem> {
    let signature = headers
        .get(SIGNATURE_HEADER)
        .map_or(&b""[..], |value| value.as_bytes());
    let now = app.now();
    let notice = parse_notify(signature, &body, &app.bank, now).map_err(|refused| {
        warn!(reason = %refused, "a notice was not believed");
        let title = "The notice is not believed";
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "notice-refused",
            title,
            refused.to_string(),
        )
    })?;
    let transaction = notice.get().transaction.as_str().to_owned();
    let credit = app
        .stored(move |store| store.credit_recharge(&notice, now))
        .await
        .map_err(|error| error.problem(not_credited))?;
    match credit {
        Credit::Booked(settlement) => info!(transaction, ?settlement, "notice booked"),
        // It is kept, so the bank may stop asking; a person has to find out what was paid for.
        Credit::Unmatched(reason) => warn!(transaction, %reason, "genuine notice kept, unmatched"),
        Credit::Repeated => info!(transaction, "notice repeated, nothing changed"),
    }
    Ok("success")
}

/// A notice that contradicts an earlier one stays in the log and with the bank, which asks again.
fn not_credited(refused: CreditRefused) -> Problem {
    if let CreditRefused::Fault(fault) = refused {
        return internal(fault);
    }
    warn!(reason = %refused, "a genuine notice contradicts another");
    let title = "The notice contradicts an earlier one";
    Problem::new(
        StatusCode::CONFLICT,
        "notice-contradicts",
        title,
        refused.to_string(),
    )
}
