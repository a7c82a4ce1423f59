use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use obol_transport::{Bytes, Peer};
use tracing::info;

use super::Api;
use super::answer::{Refusal, malformed};
use super::credentials::state;
use super::request::json;
use super::wire::{CommandRequest, CredentialStatus, ProblemReply, StandingReply, handle};
use crate::register::{Change, Handle, Standing, Target};

/// Credentials of a subject that its status shows.
const SHOWN_MAX: u32 = 64;

type Answer = Result<Json<StandingReply>, Refusal>;

macro_rules! commands {
    ($($name:ident, $path:literal, $target:ident, $kind:literal, $to:ident, $summary:literal;)*) => {
        $(
            #[doc = $summary]
            #[utoipa::path(
                post,
                path = $path,
                tag = "standing",
                request_body = CommandRequest,
                params(("handle" = String, Path, pattern = "^[0-9a-f]{32}$",
                    description = "32 hexadecimal digits, lower case")),
                responses(
                    (status = 200, description = "What holds now, durable", body = StandingReply),
                    (status = 400, description = "Malformed", body = ProblemReply,
                        content_type = "application/problem+json"),
                    (status = 403, description = "Not registered", body = ProblemReply,
                        content_type = "application/problem+json"),
                    (status = 409, description = "Revoked for good, or a later command holds", body = ProblemReply,
                        content_type = "application/problem+json"),
                    (status = 413, description = "Too large", body = ProblemReply,
                        content_type = "application/problem+json"),
                    (status = 415, description = "Not JSON", body = ProblemReply,
                        content_type = "application/problem+json"),
                    (status = 503, description = "The register gives no answer",
                        body = ProblemReply, content_type = "application/problem+json"),
                )
            )]
            pub(super) async fn $name(
                State(api): State<Arc<Api>>,
                Extension(peer): Extension<Peer>,
                Path(name): Path<String>,
                headers: HeaderMap,
                body: Bytes,
            ) -> Answer {
                let target = |handle| Target::$target(handle);
                command(&api, peer, ($kind, &name, target), Standing::$to, &headers, &body).await
            }
        )*
    };
}

commands! {
    suspend_subject, "/v1/subjects/{handle}/suspend", Subject, "subject", Suspended,
        "Suspend a passenger: every live credential, and new ones are refused";
    resume_subject, "/v1/subjects/{handle}/resume", Subject, "subject", Active,
        "Resume a passenger who is suspended";
    revoke_subject, "/v1/subjects/{handle}/revoke", Subject, "subject", Revoked,
        "Revoke a passenger for good";
    suspend_device, "/v1/devices/{handle}/suspend", Device, "device", Suspended,
        "Suspend a phone: every live credential asked for with its handle";
    resume_device, "/v1/devices/{handle}/resume", Device, "device", Active,
        "Resume a phone that is suspended";
    revoke_device, "/v1/devices/{handle}/revoke", Device, "device", Revoked,
        "Revoke a phone for good";
}

async fn command(
    api: &Api,
    peer: Peer,
    (kind, name, target): (&str, &str, fn(Handle) -> Target),
    to: Standing,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    api.admit(&peer, &["platform"])?;
    let target = target(handle(kind, name).map_err(malformed)?);
    let asked: CommandRequest = json(headers, body)?;
    let change = Change {
        target,
        to,
        number: asked.number.map(|number| number.0),
        reason: asked.check().map_err(malformed)?,
        by: peer.uri,
        at: api.now(),
    };
    let record = api.issuer.register().change_standing(change).await?;
    api.issuer.metrics().standing_changed();
    api.issuer.tell_publisher();
    info!(kind, handle = %target.handle(), standing = %record.standing, "standing commanded");
    Ok(Json(StandingReply::of(Some(record), None)))
}

/// What holds for a passenger, and the credentials that have not expired
#[utoipa::path(
    get,
    path = "/v1/subjects/{handle}",
    tag = "standing",
    params(("handle" = String, Path, pattern = "^[0-9a-f]{32}$",
        description = "32 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "A subject that was never heard of is active",
            body = StandingReply),
        (status = 400, description = "No handle", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "The register gives no answer", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn subject(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer {
    api.admit(&peer, &["platform"])?;
    let subject = handle("subject", &name).map_err(malformed)?;
    let register = api.issuer.register();
    let record = register.standing(Target::Subject(subject)).await?;
    let live = register
        .live_credentials(subject, api.now(), SHOWN_MAX)
        .await?;
    let mut credentials = Vec::with_capacity(live.len());
    for credential in &live {
        let state = state(&api, credential).await?;
        credentials.push(CredentialStatus::of(credential, state));
    }
    Ok(Json(StandingReply::of(record, Some(credentials))))
}

/// What holds for a phone
#[utoipa::path(
    get,
    path = "/v1/devices/{handle}",
    tag = "standing",
    params(("handle" = String, Path, pattern = "^[0-9a-f]{32}$",
        description = "32 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "A phone that was never heard of is active",
            body = StandingReply),
        (status = 400, description = "No handle", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "The register gives no answer", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn device(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Answer {
    api.admit(&peer, &["platform"])?;
    let target = Target::Device(handle("device", &name).map_err(malformed)?);
    let record = api.issuer.register().standing(target).await?;
    Ok(Json(StandingReply::of(record, None)))
}
