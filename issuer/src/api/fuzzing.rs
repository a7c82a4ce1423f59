//! For [`crate::fuzzing`].

use super::wire::BatchRequest;

/// How many of a batch's items are requests for a credential; `None` for a body that is no batch.
pub fn credential_batch(body: &[u8]) -> Option<usize> {
    let batch: BatchRequest = serde_json::from_slice(body).ok()?;
    let items = batch.items.into_iter();
    Some(items.filter_map(|item| item.check().ok()).count())
}
