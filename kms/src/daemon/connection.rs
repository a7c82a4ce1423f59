//! One connection: its peer checked, then requests, many of them under way at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_kms_client::SpkiId;
use obol_kms_client::wire::Request as Asked;
use obol_kms_client::wire::{
    Answer, Call, FrameError, PIPELINE_MAX, RefusalKind, Reply, decode_frame, read_body,
    read_first_byte, read_length, write_frame,
};
use obol_kms_policy::Client;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::daemon::Shared;
use crate::daemon::answers::{keys, kind_of, proof, refused, status};
use crate::engine::{Request, payload_of};

/// Bytes that one place in the daemon's budget stands for.
const BYTES_PER_PLACE: usize = 1024;

/// A connection whose peer was looked up.
struct Conversation {
    shared: Arc<Shared>,
    client: Client,
    replies: mpsc::Sender<Reply>,
}

/// What a request holds until it is answered.
type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit);

pub(super) async fn serve(stream: UnixStream, shared: Arc<Shared>, stopped: watch::Receiver<()>) {
    let Some(client) = client_of(&stream, &shared) else {
        return;
    };
    let (reader, writer) = stream.into_split();
    let (replies, outbox) = mpsc::channel(PIPELINE_MAX);
    let writing = tokio::spawn(write_replies(writer, outbox, shared.request_deadline));
    let conversation = Conversation {
        shared,
        client,
        replies,
    };
    if let Err(reason) = conversation.read_requests(reader, stopped).await {
        tracing::warn!(reason, "connection closed");
    }
    // Requests under way hold the outbox open until they are answered.
    drop(conversation);
    if let Err(error) = writing.await {
        tracing::error!(%error, "a connection's writer failed");
    }
}

/// Whom the configuration says the peer is, by the user that the system says it runs as.
fn client_of(stream: &UnixStream, shared: &Shared) -> Option<Client> {
    match stream.peer_cred() {
        Ok(peer) => {
            let client = shared.clients.get(&peer.uid());
            if client.is_none() {
                let (uid, pid) = (peer.uid(), peer.pid());
                tracing::warn!(uid, pid, "connection refused: user not allowed");
            }
            client.cloned()
        }
        Err(error) => {
            tracing::warn!(%error, "connection refused: the peer's user is unknown");
            None
        }
    }
}

impl Conversation {
    /// Reads until the peer closes, the daemon stops, or something is wrong with what was read.
    async fn read_requests(
        &self,
        mut reader: OwnedReadHalf,
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
            let limit = self.shared.request_deadline;
            let frame = tokio::time::timeout(limit, self.read_frame(first, &mut reader))
                .await
                .map_err(|_| "a request did not arrive within its deadline".to_owned())?;
            let frame = frame.and_then(|(frame, bytes)| Ok((decode_frame::<Call>(&frame)?, bytes)));
            match frame {
                Ok((call, bytes)) => self.begin(call, (place, bytes)),
                Err(error @ FrameError::Io(_)) => return Err(error.to_string()),
                Err(error) => {
                    let answer = refused(RefusalKind::BadRequest, &error);
                    // A peer that is gone already gets no reason.
                    self.replies.send(Reply { id: 0, answer }).await.ok();
                    return Err(error.to_string());
                }
            }
        }
    }

    /// Waits for room in the daemon's memory before it takes a long request.
    async fn read_frame(
        &self,
        first: u8,
        reader: &mut OwnedReadHalf,
    ) -> Result<(Vec<u8>, OwnedSemaphorePermit), FrameError> {
        let length = read_length(first, reader).await?;
        let places = u32::try_from(length.div_ceil(BYTES_PER_PLACE)).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.shared.bytes).acquire_many_owned(places);
        let bytes = bytes.await.map_err(std::io::Error::other)?;
        Ok((read_body(length, reader).await?, bytes))
    }

    fn begin(&self, call: Call, places: Places) {
        let (shared, client) = (Arc::clone(&self.shared), self.client.clone());
        let replies = self.replies.clone();
        tokio::spawn(async move {
            let name = client.name().to_owned();
            let answer = answer(call.request, call.left_ms, client, &shared).await;
            if let Answer::Refused { code, reason } = &answer {
                tracing::warn!(client = name, ?code, reason, "request refused");
            }
            let id = call.id;
            if replies.send(Reply { id, answer }).await.is_err() {
                tracing::warn!(client = name, "a caller did not wait for its answer");
            }
            drop(places);
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

async fn answer(asked: Asked, left_ms: Option<u32>, client: Client, shared: &Shared) -> Answer {
    let (key, payload_type, payload) = match asked {
        Asked::Keys => return keys(&shared.engine),
        Asked::Status => return status(&shared.engine),
        Asked::Prove { leaf } => return proof(&shared.engine, leaf, client).await,
        Asked::Sign {
            key,
            payload_type,
            payload,
        } => (SpkiId(key.into()), payload_type, payload),
    };
    let wished = left_ms.map(|ms| Duration::from_millis(ms.into()));
    let limit = shared.request_deadline;
    let deadline = Instant::now() + wished.map_or(limit, |wished| wished.min(limit));
    let request = Request {
        key,
        payload_type: payload_of(payload_type),
        payload: payload.into(),
    };
    // A key of no token is refused, and recorded, by whichever token's threads.
    let queue = shared.engine.token_of(key).unwrap_or(0);
    match shared.queues[queue].sign(request, client, deadline).await {
        Ok(signed) => Answer::Signed {
            signature: signed.signature.to_raw().into(),
            leaf: signed.leaf,
            key: signed.key.0.into(),
            hash: signed.hash.into(),
        },
        Err(error) => refused(kind_of(&error), &error),
    }
}
