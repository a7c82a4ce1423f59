//! One connection: its peer checked, then requests, many of them under way at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_kms_client::SpkiId;
use obol_kms_client::wire::{
    Answer, Call, FrameError, PIPELINE_MAX, RefusalKind, Reply, Request, WireKey, decode_frame,
    read_first_byte, read_rest, write_frame,
};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::daemon::Shared;
use crate::daemon::dispatch::DispatchError;
use crate::engine::{EngineError, Payload};
use crate::signer::SignerError;

pub(super) async fn serve(stream: UnixStream, shared: Arc<Shared>, stopped: watch::Receiver<()>) {
    if !peer_is_allowed(&stream, &shared) {
        return;
    }
    let (reader, writer) = stream.into_split();
    let (replies, outbox) = mpsc::channel(PIPELINE_MAX);
    let writing = tokio::spawn(write_replies(writer, outbox, shared.request_deadline));
    if let Err(reason) = read_requests(reader, &shared, replies, stopped).await {
        tracing::warn!(reason, "connection closed");
    }
    // Requests under way hold the outbox open until they are answered.
    if let Err(error) = writing.await {
        tracing::error!(%error, "a connection's writer failed");
    }
}

fn peer_is_allowed(stream: &UnixStream, shared: &Shared) -> bool {
    match stream.peer_cred() {
        Ok(peer) if shared.allowed_uids.contains(&peer.uid()) => true,
        Ok(peer) => {
            tracing::warn!(
                uid = peer.uid(),
                pid = peer.pid(),
                "connection refused: user not allowed"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "connection refused: the peer's user is unknown");
            false
        }
    }
}

/// Reads until the peer closes, the daemon stops, or something is wrong with what was read.
async fn read_requests(
    mut reader: OwnedReadHalf,
    shared: &Arc<Shared>,
    replies: mpsc::Sender<Reply>,
    mut stopped: watch::Receiver<()>,
) -> Result<(), String> {
    let places = Arc::new(Semaphore::new(PIPELINE_MAX));
    loop {
        // The next request is not read while too many are under way: the socket holds it back.
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .map_err(|error| error.to_string())?;
        // An idle connection costs its place only; a request that has begun has a deadline.
        let first = tokio::select! {
            first = read_first_byte(&mut reader) => first,
            _ = stopped.changed() => return Ok(()),
        };
        let Some(first) = first.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let frame = tokio::time::timeout(shared.request_deadline, read_rest(first, &mut reader))
            .await
            .map_err(|_| "a request did not arrive within its deadline".to_owned())?;
        let call: Call = match frame.and_then(|frame| decode_frame(&frame)) {
            Ok(call) => call,
            Err(error @ FrameError::Io(_)) => return Err(error.to_string()),
            Err(error) => {
                let answer = refused(RefusalKind::BadRequest, &error);
                // A peer that is gone already gets no reason.
                replies.send(Reply { id: 0, answer }).await.ok();
                return Err(error.to_string());
            }
        };
        let (shared, replies) = (Arc::clone(shared), replies.clone());
        tokio::spawn(async move {
            let answer = answer(call.request, call.left_ms, &shared).await;
            if let Answer::Refused { code, reason } = &answer {
                tracing::warn!(?code, reason, "request refused");
            }
            let id = call.id;
            if replies.send(Reply { id, answer }).await.is_err() {
                tracing::warn!("a caller did not wait for its answer");
            }
            drop(place);
        });
    }
}

/// Writes until every sender is gone. A peer that does not read its answers is cut off.
async fn write_replies(
    mut writer: OwnedWriteHalf,
    mut outbox: mpsc::Receiver<Reply>,
    limit: Duration,
) {
    while let Some(reply) = outbox.recv().await {
        match tokio::time::timeout(limit, write_frame(&mut writer, &reply)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::warn!(%error, "connection closed"),
            Err(_) => return tracing::warn!("connection closed: its peer does not read"),
        }
    }
}

async fn answer(request: Request, left_ms: Option<u32>, shared: &Shared) -> Answer {
    match request {
        Request::Keys => Answer::Keys(shared.engine.issuers().iter().map(wire_key).collect()),
        Request::SignCredential { key, claims } => {
            let wished = left_ms.map(|ms| Duration::from_millis(ms.into()));
            let limit = shared.request_deadline;
            let deadline = Instant::now() + wished.map_or(limit, |wished| wished.min(limit));
            let payload = Payload::CredentialClaims(claims.into());
            let id = SpkiId(key.into());
            match shared.dispatch.sign(id, payload, deadline).await {
                Ok(signature) => Answer::Signature(signature.to_raw().into()),
                Err(error) => refused(kind_of(&error), &error),
            }
        }
    }
}

fn wire_key(key: &crate::IssuerKey) -> WireKey {
    let public = key.key().public();
    WireKey {
        spki_der: public.spki_der().into(),
        algorithm: public.curve().algorithm().cose_id(),
    }
}

fn kind_of(error: &DispatchError) -> RefusalKind {
    match error {
        DispatchError::Full(_) | DispatchError::TooLate { .. } => RefusalKind::Busy,
        DispatchError::Deadline => RefusalKind::Timeout,
        DispatchError::Engine(error) => match error {
            EngineError::UnknownKey(_) => RefusalKind::UnknownKey,
            EngineError::Refused(_) => RefusalKind::ClaimsRefused,
            EngineError::Signer(SignerError::Timeout(_)) => RefusalKind::Timeout,
            EngineError::Signer(_) | EngineError::NotVerified(_) => RefusalKind::TokenFailure,
        },
    }
}

fn refused(code: RefusalKind, error: &dyn std::error::Error) -> Answer {
    Answer::Refused {
        code,
        reason: error.to_string(),
    }
}
