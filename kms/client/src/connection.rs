//! One stream that carries many calls at a time.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::wire::{
    Answer, Call, FrameError, Reply, Request, decode_frame, read_frame, write_frame,
};

#[derive(Debug)]
pub(crate) struct Connection {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Arc<Mutex<Waiting>>,
    reading: JoinHandle<()>,
}

#[derive(Debug)]
struct Waiting {
    open: bool,
    last_id: u32,
    calls: HashMap<u32, oneshot::Sender<Answer>>,
}

impl Connection {
    pub(crate) async fn open(path: &Path) -> std::io::Result<Connection> {
        let (reader, writer) = UnixStream::connect(path).await?.into_split();
        let waiting = Arc::new(Mutex::new(Waiting {
            open: true,
            last_id: 0,
            calls: HashMap::new(),
        }));
        let reading = tokio::spawn(read_replies(reader, Arc::clone(&waiting)));
        Ok(Connection {
            writer: tokio::sync::Mutex::new(writer),
            waiting,
            reading,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.waiting).open
    }

    /// Asks and waits; a connection that breaks meanwhile is an I/O error.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, FrameError> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut waiting = lock(&self.waiting);
            if !waiting.open {
                return Err(closed());
            }
            // From 1 again after the largest: by then the first calls are long answered.
            waiting.last_id = waiting.last_id.checked_add(1).unwrap_or(1);
            let id = waiting.last_id;
            waiting.calls.insert(id, answer);
            id
        };
        let _forgotten = Forget {
            waiting: &self.waiting,
            id,
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let call = Call {
            id,
            left_ms: u32::try_from(patience.as_millis()).ok(),
            request: request.clone(),
        };
        let mut writer = self.writer.lock().await;
        match write_frame(&mut *writer, &call).await {
            // The reason, if there is one, comes from the other direction.
            Ok(()) | Err(FrameError::Io(_)) => {}
            Err(error) => return Err(error),
        }
        drop(writer);
        answered.await.map_err(|_| closed())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// A caller that stops waiting leaves nothing behind.
struct Forget<'a> {
    waiting: &'a Mutex<Waiting>,
    id: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).calls.remove(&self.id);
    }
}

/// Until the stream ends; then nobody waits any more.
async fn read_replies(mut reader: OwnedReadHalf, waiting: Arc<Mutex<Waiting>>) {
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        let Ok(Reply { id, answer }) = decode_frame(&frame) else {
            break;
        };
        let caller = lock(&waiting).calls.remove(&id);
        match (id, caller) {
            // The daemon could not read what it was sent, and closes.
            (0, _) => break,
            // A caller that has gone away wants no answer.
            (_, Some(caller)) => drop(caller.send(answer)),
            (_, None) => {}
        }
    }
    let mut waiting = lock(&waiting);
    waiting.open = false;
    waiting.calls.clear();
}

fn closed() -> FrameError {
    Error::from(ErrorKind::UnexpectedEof).into()
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
