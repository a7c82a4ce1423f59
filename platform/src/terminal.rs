//! What terminals bring and fetch, over mTLS.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use obol_credential::UnixTime;
use obol_payment::ride::{Intake, Upload, kid_named_by};
use obol_store::{Disposition, Fault, PostedUpload, Terminal, TerminalRefresh};
use obol_tap::{
    Acknowledgement, HEALTH_HEADER, HEALTH_MAX, Health, HealthRefused, RecordAcknowledgement,
    RecordStatus, SEGMENT_MAX, TerminalKey, TerminalName, TrustHealth, VerifiedSegment,
};
use obol_transport::{Bytes, Peer, Problem};
use obol_verifier_sdk::{Operator, SKEW_S, Verifier};
use tracing::{error, info, warn};

use crate::app::{App, internal};
use crate::witnessing::{SUBMISSION_MAX, add_checkpoint};

/// The API for terminals; every request comes from a registered key.
pub fn terminal_router(app: Arc<App>) -> Router {
    Router::new()
        .route(
            "/v1/segments",
            post(segment).layer(DefaultBodyLimit::max(SEGMENT_MAX)),
        )
        .route("/v1/fare-pack", get(fare_pack))
        .route(
            "/v1/audit-log/add-checkpoint",
            post(add_checkpoint).layer(DefaultBodyLimit::max(SUBMISSION_MAX)),
        )
        .with_state(app)
}

async fn fare_pack(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    registered(&app, &peer).await?;
    let pack = app.packs.current().bytes().to_vec();
    Ok(([(CONTENT_TYPE, "application/cbor")], pack).into_response())
}

async fn segment(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Acknowledgement>, Problem> {
    let terminal = registered(&app, &peer).await?;
    let health = reported(&headers);
    note_health(&terminal, health.as_ref(), app.now());
    keep_refresh(&app, &terminal, health).await;
    let segment = verified(&peer, &terminal, body).await?;
    let upload = examined(&app, &terminal, segment).await?;
    let epoch = upload.epoch();
    let posted = app
        .stored(move |store| store.post_rides(&upload))
        .await
        .map_err(|error| error.problem(|fault: Fault| internal(fault)))?;
    report(&terminal, &posted);
    Ok(Json(acknowledgement(epoch, posted)))
}

/// The terminal whose key this is: a certificate alone is not enough.
async fn registered(app: &App, peer: &Peer) -> Result<Terminal, Problem> {
    let refused = |detail: String| {
        warn!(peer = peer.uri, detail, "a terminal was turned away");
        let title = "The terminal is not registered";
        Problem::new(
            StatusCode::FORBIDDEN,
            "terminal-not-registered",
            title,
            detail,
        )
    };
    let name = TerminalName::new(&peer.name).filter(|_| peer.role == "terminal");
    let name = name.ok_or_else(|| refused(format!("{} is not a terminal", peer.uri)))?;
    let found = app
        .stored(move |store| store.terminal(&name))
        .await
        .map_err(|error| error.problem(|fault: Fault| internal(fault)))?;
    match found {
        Some(terminal) if terminal.spki == peer.spki => Ok(terminal),
        Some(_) => Err(refused(format!(
            "{} is registered with another key",
            peer.uri
        ))),
        None => Err(refused(format!("{} is unknown", peer.uri))),
    }
}

/// What the terminal says of itself; `None` when it says nothing.
fn reported(headers: &HeaderMap) -> Option<Result<Health, HealthRefused>> {
    let report = headers.get(HEALTH_HEADER)?.as_bytes();
    if report.len() > HEALTH_MAX {
        return Some(Err(HealthRefused));
    }
    let health: Result<Health, _> = serde_json::from_slice(report);
    Some(health.map_err(|_| HealthRefused).and_then(Health::checked))
}

/// Nothing here keeps a ride out: whoever looks after terminals reads it.
fn note_health(terminal: &Terminal, report: Option<&Result<Health, HealthRefused>>, now: UnixTime) {
    let terminal = terminal.name.as_str();
    let health = match report {
        None => return,
        Some(Err(refused)) => return warn!(terminal, %refused, "a terminal's health is unknown"),
        Some(Ok(health)) => health,
    };
    let clock_off_s = health.clock_off_s(now.0);
    let Health {
        waiting,
        trust,
        software,
        ..
    } = health;
    info!(
        terminal,
        clock_off_s,
        waiting,
        ?trust,
        software,
        "a terminal's health"
    );
    if clock_off_s.unsigned_abs() > u64::from(SKEW_S) {
        warn!(terminal, clock_off_s, "a terminal's clock is wrong");
    }
    if *trust != TrustHealth::Fresh {
        warn!(terminal, ?trust, "a terminal's trust is not fresh");
    }
}

/// Plans of rotations are held against how long terminals hear nothing. Rides do not wait for it:
/// the terminal tells it again with its next segment.
async fn keep_refresh(
    app: &App,
    terminal: &Terminal,
    report: Option<Result<Health, HealthRefused>>,
) {
    let Some(Ok(health)) = report else { return };
    let Some(refreshed_at) = health.refreshed.map(UnixTime) else {
        return;
    };
    let refresh = TerminalRefresh {
        refreshed_at,
        silence_s: health.silence_s,
    };
    let name = terminal.name.clone();
    let kept = app.stored(move |store| store.note_refresh(&name, refresh));
    let kept = kept.await;
    if kept
        .map_err(|error| error.problem(|fault: Fault| internal(fault)))
        .is_err()
    {
        let terminal = terminal.name.as_str();
        warn!(terminal, "how long it heard nothing is not written down");
    }
}

/// The segment, signed by the very key that speaks on this connection and for this terminal.
async fn verified(
    peer: &Peer,
    terminal: &Terminal,
    body: Bytes,
) -> Result<VerifiedSegment, Problem> {
    let refused = |detail: String| {
        warn!(
            terminal = terminal.name.as_str(),
            detail, "a segment was refused"
        );
        let title = "The segment is not believed";
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "segment-refused",
            title,
            detail,
        )
    };
    let key = TerminalKey::from_spki_der(&peer.spki_der)
        .ok_or_else(|| refused("the terminal's key is not on P-256".to_owned()))?;
    let decoded = tokio::task::spawn_blocking(move || VerifiedSegment::decode(&body, &key)).await;
    let segment = decoded
        .map_err(internal)?
        .map_err(|error| refused(error.to_string()))?;
    if *segment.terminal() != terminal.name {
        return Err(refused(format!(
            "it is terminal {}'s",
            segment.terminal().as_str()
        )));
    }
    Ok(segment)
}

/// Verifies every record again, on a thread that may take its time.
async fn examined(
    app: &Arc<App>,
    terminal: &Terminal,
    segment: VerifiedSegment,
) -> Result<Upload, Problem> {
    let kids = segment.records().iter();
    let kids = kids.filter_map(|record| kid_named_by(&record.bytes));
    app.learn_keys(&kids.collect()).await;
    let known = app.trust.known();
    if known.keys().is_empty() {
        return Err(no_keys());
    }
    let operator = Operator::new(&terminal.operator).ok_or_else(Problem::internal)?;
    let (app, now) = (Arc::clone(app), app.now());
    let examine = move || {
        let trust = known.store();
        let verifier = Verifier { trust, operator };
        let rules = Intake {
            verifier,
            packs: app.packs.all(),
            received_at: now,
            now,
        };
        Upload::examine(&segment, &rules)
    };
    tokio::task::spawn_blocking(examine).await.map_err(internal)
}

fn no_keys() -> Problem {
    error!("no trust bundle has been accepted: uploads wait");
    let detail = "the platform has no issuer keys yet; upload again later";
    let title = "Rides cannot be verified now";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "trust-missing",
        title,
        detail,
    )
}

/// `UNKNOWN_KEY x2, CAP x1`; `None` when nothing was refused.
fn reasons(posted: &PostedUpload) -> Option<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &posted.records {
        if let Disposition::Rejected(reason) = record.disposition {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(reason, count)| format!("{reason} x{count}"))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn report(terminal: &Terminal, posted: &PostedUpload) {
    let of = |wanted: fn(&Disposition) -> bool| {
        posted
            .records
            .iter()
            .filter(|record| wanted(&record.disposition))
            .count()
    };
    info!(
        terminal = terminal.name.as_str(),
        accepted = of(|found| matches!(found, Disposition::Accepted)),
        duplicate = of(|found| matches!(found, Disposition::Duplicate)),
        conflict = of(|found| matches!(found, Disposition::Conflict)),
        rejected = of(|found| matches!(found, Disposition::Rejected(_))),
        watermark = posted.watermark,
        reasons = reasons(posted),
        "segment posted"
    );
}

fn acknowledgement(epoch: obol_tap::Epoch, posted: PostedUpload) -> Acknowledgement {
    let status = |disposition| match disposition {
        Disposition::Accepted => RecordStatus::Accepted,
        Disposition::Duplicate => RecordStatus::Duplicate,
        Disposition::Conflict => RecordStatus::Conflict,
        Disposition::Rejected(reason) => RecordStatus::Rejected {
            reason: reason.to_owned(),
        },
    };
    let record = |record: obol_store::PostedRecord| RecordAcknowledgement {
        seq: record.seq,
        status: status(record.disposition),
    };
    Acknowledgement {
        epoch,
        watermark: posted.watermark,
        head: posted.head,
        records: posted.records.into_iter().map(record).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(value: &str) -> Option<Result<Health, HealthRefused>> {
        let mut headers = HeaderMap::new();
        headers.insert(HEALTH_HEADER, value.parse().expect("a header's value"));
        reported(&headers)
    }

    #[test]
    fn a_health_report_is_read_strictly_and_may_be_missing() {
        let good = r#"{"clock":1,"waiting":2,"trust":"fresh","software":"obol-pos 0.1.0"}"#;
        assert_eq!(report(good).expect("there").expect("good").waiting, 2);
        assert_eq!(reported(&HeaderMap::new()), None);
        let refused = Some(Err(HealthRefused));
        assert_eq!(report("{}"), refused);
        assert_eq!(report(&good.replace("2", "-2")), refused);
        assert_eq!(
            report(&format!("{good}{}", " ".repeat(HEALTH_MAX))),
            refused
        );
    }
}
