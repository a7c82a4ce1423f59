use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use obol_transport::{Peer, Problem};
use tracing::{error, info};

use super::Api;
use super::answer::{Refusal, malformed};
use super::wire::{MemberReply, MembersReply, ProblemReply, spki};
use crate::issuance::IssueRefused;
use crate::issuer::RevokeRefused;

/// Who enrolled here and has not expired
#[utoipa::path(
    get,
    path = "/v1/members",
    tag = "members",
    responses(
        (status = 200, description = "Revoked ones too", body = MembersReply),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "The register gives no answer", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn members(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<MembersReply>, Refusal> {
    api.admit(&peer, &["platform", "issuer"])?;
    let members = api.issuer.register().members(api.now()).await?;
    let members = members.into_iter().map(MemberReply::from).collect();
    Ok(Json(MembersReply { members }))
}

/// Revoke a member: out at once, and named by the next revocation list
#[utoipa::path(
    post,
    path = "/v1/members/{spki}/revoke",
    tag = "members",
    params(("spki" = String, Path, pattern = "^[0-9a-f]{64}$",
        description = "64 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "Revoked; the list is written", body = MemberReply),
        (status = 400, description = "No key's name", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "Nobody enrolled here with this key", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 503, description = "Out, but no list could be signed: ask again",
            body = ProblemReply, content_type = "application/problem+json"),
    )
)]
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<MemberReply>, Refusal> {
    api.admit(&peer, &["platform"])?;
    let spki = spki(&name).map_err(malformed)?;
    match api.issuer.revoke_member(spki, api.now()).await {
        Ok(Some(member)) => {
            info!(identity = member.identity, "a member was revoked");
            Ok(Json(member.into()))
        }
        Ok(None) | Err(RevokeRefused::NoAccessCa) => {
            let title = "There is no such member";
            let status = StatusCode::NOT_FOUND;
            let detail = "nobody enrolled at this issuer with this key";
            Err(Problem::new(status, "member-unknown", title, detail).into())
        }
        Err(RevokeRefused::Register(cause)) => Err(cause.into()),
        Err(RevokeRefused::Access(cause)) => {
            error!(
                cause = &cause as &dyn std::error::Error,
                "no revocation list was made"
            );
            Err(IssueRefused::Unavailable.into())
        }
    }
}
