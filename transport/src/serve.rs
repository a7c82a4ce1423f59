use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service;
use tracing::{debug, warn};

use crate::peer::Peer;
use crate::problem::{Problem, as_problem};
use crate::transport_error::handshake_reason;

/// Connections open at once, those in a handshake included; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// The largest request body in bytes, unless a route sets its own `DefaultBodyLimit`.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
const LINGER_DEADLINE: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 64;
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// Serves until `shutdown` ends, then lets open requests finish for ten seconds.
///
/// On a listener that requires client certificates each request carries a [`Peer`] extension. Every
/// refusal leaves as an RFC 9457 problem; a failed handshake is logged with its reason and the
/// client's address.
///
/// # Errors
/// What `shutdown` itself ended with; a failing `accept` is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    shutdown: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let door = Arc::new(Door::new(tls, router));
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let ended = loop {
        let admitted = async {
            let seat = seats
                .clone()
                .acquire_owned()
                .await
                .expect("nobody closes the semaphore");
            (seat, listener.accept().await)
        };
        tokio::select! {
            biased;
            ended = &mut shutdown => break ended,
            (seat, accepted) = admitted => match accepted {
                Ok((stream, address)) => {
                    tokio::spawn(door.clone().admit(stream, address, graceful.watcher(), seat));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    };
    drop(listener);
    if timeout(DRAIN_DEADLINE, graceful.shutdown()).await.is_err() {
        warn!("stopped with requests unfinished after {DRAIN_DEADLINE:?}");
    }
    ended
}

struct Door {
    acceptor: TlsAcceptor,
    http: auto::Builder<TokioExecutor>,
    router: Router,
}

impl Door {
    fn new(tls: Arc<rustls::ServerConfig>, router: Router) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let router = router.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        Self {
            acceptor: tls.into(),
            http,
            router,
        }
    }

    async fn admit(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        watcher: Watcher,
        _seat: OwnedSemaphorePermit,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%address, %error, "cannot set TCP_NODELAY");
        }
        let handshake = self.acceptor.accept(stream).into_fallible();
        match timeout(HANDSHAKE_DEADLINE, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, address, watcher).await,
            Ok(Err((error, stream))) => {
                warn!(%address, reason = %handshake_reason(&error), "TLS handshake refused");
                linger(stream).await;
            }
            Err(_) => warn!(%address, reason = "no handshake in time", "TLS handshake refused"),
        }
    }

    async fn converse(&self, stream: TlsStream<TcpStream>, address: SocketAddr, watcher: Watcher) {
        let peer = match peer_of(&stream) {
            Ok(peer) => peer,
            Err(reason) => return warn!(%address, %reason, "TLS peer refused"),
        };
        // ALPN has decided; waiting for a preface to tell the versions apart would have no
        // deadline.
        let http = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http.clone().http2_only(),
            _ => self.http.clone().http1_only(),
        };
        let service = service_fn(|mut request: Request<Incoming>| {
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            answer(self.router.clone(), request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            debug!(%address, error = &*error, "connection ended");
        }
    }
}

fn peer_of(stream: &TlsStream<TcpStream>) -> Result<Option<Peer>, crate::PeerError> {
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    leaf.map(|der| Peer::from_certificate(der)).transpose()
}

async fn answer(mut router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    let answered = async { Ok(as_problem(router.call(request).await?).await) };
    timeout(REQUEST_DEADLINE, answered)
        .await
        .unwrap_or_else(|_| Ok(too_slow()))
}

fn too_slow() -> Response {
    let detail = format!("not answered within {} s", REQUEST_DEADLINE.as_secs());
    let title = "The request took too long";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "deadline-exceeded",
        title,
        detail,
    )
    .into_response()
}

/// Closing at once with the client's bytes unread would send a reset, which can overtake the alert
/// that says why.
async fn linger(mut stream: TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        let mut chunk = [0; 4096];
        while stream.read(&mut chunk).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    if let Ok(Err(error)) = timeout(LINGER_DEADLINE, drained).await {
        debug!(%error, "the client of a refused handshake is gone");
    }
}
