//! `obol-kms serve`: typed signing over a Unix socket.
//!
//! ```text
//! caller ══ frames ══▶ peer uid ──▶ request ──▶ the token's queue ───────▶ threads ──▶ Engine
//!   many under way       looked up   parsed     bounded, by deadline                    │
//! caller ◀═ frames ═══ verified signatures, in the order they are ready ◀───────────────┘
//! ```

mod answers;
mod config;
mod connection;
mod dispatch;
mod monitor;
mod rounds;
mod socket;
mod start;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use obol_kms_policy::Client;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use crate::engine::Clock;
use crate::engine::Engine;

pub use config::{AuditConfig, DaemonConfig, MetricsAddress, TokenEntry, WitnessConfig};
use dispatch::Dispatch;
pub use monitor::{Monitor, Report};
use rounds::Rounds;
pub use socket::SocketError;
pub use start::{StartError, TokenPlace};

/// Memory that requests under way may take, in KiB.
const REQUESTS_MAX_KIB: usize = 64 * 1024;
const _: () = assert!(crate::payload::PAYLOAD_MAX == obol_kms_client::wire::PAYLOAD_MAX);
const _: () = assert!(REQUESTS_MAX_KIB * 1024 >= 2 * obol_kms_client::wire::FRAME_MAX);

/// A daemon that holds its tokens, its log and its socket and is ready to serve.
pub struct Daemon {
    listener: UnixListener,
    socket: socket::SocketFile,
    shared: Arc<Shared>,
    max_connections: usize,
    rounds: Rounds,
}

pub(crate) struct Shared {
    /// One for each token, in the engine's order.
    queues: Vec<Dispatch>,
    engine: Arc<Engine>,
    clients: HashMap<u32, Client>,
    request_deadline: std::time::Duration,
    bytes: Arc<Semaphore>,
}

impl Daemon {
    /// The socket's path.
    pub fn path(&self) -> &std::path::Path {
        self.socket.path()
    }

    /// How it is, while it serves.
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(&self.shared))
    }

    /// The engine behind the socket: its log is what a witness is shown.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.shared.engine)
    }

    /// Serves until `shutdown` completes, then lets requests under way finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        let (stop, stopped) = tokio::sync::watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
                Some(ended) = connections.join_next() => {
                    report(ended);
                    continue;
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of descriptors: accepting again at once would only spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(limit = self.max_connections, "connection refused: too many");
                continue;
            };
            let (shared, stopped) = (Arc::clone(&self.shared), stopped.clone());
            connections.spawn(async move {
                connection::serve(stream, shared, stopped).await;
                drop(place);
            });
        }
        drop(stop);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
        drop(self.rounds);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
