//! Proofs that credentials stand in the key management daemon's audit log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use data_encoding::BASE64URL_NOPAD;
use obol_transport::Peer;

use super::Api;
use super::answer::{Refusal, no_proof, unproved};
use super::credentials::find;
use super::wire::{InclusionProof, ProblemReply};

/// That a credential's signature stands in the audit log
///
/// Whoever has the log's key judges it: the checkpoint's signature (and its witness's), the path from
/// the leaf to the checkpoint's root (RFC 9162 section 2.1.3.2), and that the leaf is of this
/// credential.
#[utoipa::path(
    get,
    path = "/v1/credentials/{cti}/inclusion-proof",
    tag = "credentials",
    params(("cti" = String, Path, pattern = "^[0-9a-f]{16}$",
        description = "16 hexadecimal digits, lower case")),
    responses(
        (status = 200, description = "Up to the last signed checkpoint, with its cosignatures",
            body = InclusionProof),
        (status = 400, description = "No name of a credential", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 403, description = "Not registered", body = ProblemReply,
            content_type = "application/problem+json"),
        (status = 404, description = "Not made here or forgotten, or never signed",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 409, description = "No checkpoint covers it yet; see `Retry-After`",
            body = ProblemReply, content_type = "application/problem+json"),
        (status = 503, description = "Register or daemon give no answer", body = ProblemReply,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn inclusion(
    State(api): State<Arc<Api>>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<InclusionProof>, Refusal> {
    api.admit(&peer, &["platform"])?;
    let record = find(&api, &name).await?;
    let leaf_index = record.leaf.ok_or_else(no_proof)?;
    let proved = api.issuer.kms().prove(leaf_index).await;
    let proved = proved.map_err(|cause| unproved(&cause))?;
    Ok(Json(InclusionProof {
        leaf_index,
        leaf: BASE64URL_NOPAD.encode(&proved.entry),
        proof: proved.proof,
    }))
}
