//! For [`crate::fuzzing`].

use axum::http::{HeaderMap, HeaderValue};

use super::request;
use super::wire::{BatchRequest, CommandRequest, cti, handle, spki};
use crate::publisher::parse_kid;

/// How many of a batch's items are requests for a credential; `None` for a body that is no batch.
pub fn credential_batch(body: &[u8]) -> Option<usize> {
    let batch: BatchRequest = serde_json::from_slice(body).ok()?;
    let items = batch.items.into_iter();
    Some(items.filter_map(|item| item.check().ok()).count())
}

/// Reason and number of a command on a subject, a device or a key.
pub fn standing_command(body: &[u8]) -> Option<(String, Option<u64>)> {
    let command: CommandRequest = serde_json::from_slice(body).ok()?;
    let number = command.number.map(|number| number.0);
    Some((command.check().ok()?, number))
}

/// What the register calls a request that carries this `Idempotency-Key`.
pub fn idempotency_key(value: &[u8]) -> Option<[u8; 16]> {
    let value = HeaderValue::from_bytes(value).ok()?;
    let mut headers = HeaderMap::new();
    headers.insert(request::IDEMPOTENCY_KEY, value);
    let key = request::key(&headers, "obol://platform/main", "/v1/credentials", b"{}");
    Some(key.ok()??.id)
}

/// The bytes that a segment of a path names: a handle, a credential, an issuer key or a member.
pub fn path_name(text: &str) -> Option<Vec<u8>> {
    let handle = || Some(handle("subject", text).ok()?.0.to_vec());
    let cti = || Some(cti(text).ok()?.0.to_vec());
    let spki = || Some(spki(text).ok()?.to_vec());
    let kid = || Some(parse_kid(text)?.0.to_vec());
    handle().or_else(cti).or_else(spki).or_else(kid)
}
