//! One connection: its peer checked, then request after request.

use obol_kms_client::SpkiId;
use obol_kms_client::wire::{
    Answer, FrameError, RefusalKind, Request, WireKey, decode_frame, read_first_byte, read_rest,
    write_frame,
};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::credential::SignCredentialError;
use crate::daemon::Shared;
use crate::daemon::signers::QueueError;

pub(super) async fn serve(
    mut stream: UnixStream,
    shared: &Shared,
    mut stopped: watch::Receiver<()>,
) {
    if !peer_is_allowed(&stream, shared) {
        return;
    }
    loop {
        // An idle connection costs its place only; a request that has begun has a deadline.
        let first = tokio::select! {
            first = read_first_byte(&mut stream) => first,
            _ = stopped.changed() => return,
        };
        let first = match first {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "connection closed"),
        };
        // One deadline for the request to arrive, one for its signature.
        let deadlines = shared.signers.deadline() * 2;
        match tokio::time::timeout(deadlines, exchange(first, &mut stream, shared)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::warn!(%error, "connection closed"),
            Err(_) => return tracing::warn!("connection closed: a request passed its deadline"),
        }
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

async fn exchange(first: u8, stream: &mut UnixStream, shared: &Shared) -> Result<(), FrameError> {
    let frame = match read_rest(first, stream).await {
        Err(error @ FrameError::TooLong(_)) => {
            write_frame(stream, &refused(RefusalKind::BadRequest, &error)).await?;
            return Err(error);
        }
        other => other?,
    };
    let answer = match decode_frame(&frame) {
        Ok(request) => answer(request, shared).await,
        Err(error) => {
            write_frame(stream, &refused(RefusalKind::BadRequest, &error)).await?;
            return Err(error);
        }
    };
    if let Answer::Refused { code, reason } = &answer {
        tracing::warn!(?code, reason, "request refused");
    }
    write_frame(stream, &answer).await
}

async fn answer(request: Request, shared: &Shared) -> Answer {
    match request {
        Request::Keys => Answer::Keys(shared.keys.iter().map(wire_key).collect()),
        Request::SignCredential { key, claims } => {
            let id = SpkiId(key.into());
            let Some(key) = shared.keys.iter().find(|key| key.id() == id) else {
                let reason = format!("key {id} is not served here");
                return Answer::Refused {
                    code: RefusalKind::UnknownKey,
                    reason,
                };
            };
            match shared.signers.sign(key.clone(), claims.into()).await {
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

fn kind_of(error: &QueueError) -> RefusalKind {
    match error {
        QueueError::Full | QueueError::Deadline => RefusalKind::Busy,
        QueueError::Sign(SignCredentialError::Refused(_)) => RefusalKind::ClaimsRefused,
        QueueError::Sign(SignCredentialError::Sign(_)) => RefusalKind::TokenFailure,
    }
}

fn refused(code: RefusalKind, error: &dyn std::error::Error) -> Answer {
    Answer::Refused {
        code,
        reason: error.to_string(),
    }
}
