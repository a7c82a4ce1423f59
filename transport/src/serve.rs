use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower_service::Service;
use tracing::{debug, warn};

use crate::connections::{Open, Peers, Place, Requests, Seldom, open_until_sent};
use crate::peer::Peer;
use crate::problem::{Problem, as_problem};
use crate::tls::{LiveTls, ServerTls};
use crate::transport_error::handshake_reason;

/// Connections open at once, those in a handshake included; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 1024;
/// Connections of one peer (an IPv4 address, an IPv6 /64) at once; more are closed on arrival.
pub const MAX_CONNECTIONS_OF_PEER: usize = 128;
/// The largest request body in bytes, unless a route sets its own `DefaultBodyLimit`.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

const _: () = assert!(MAX_CONNECTIONS_OF_PEER < MAX_CONNECTIONS);
const _: () = assert!(REQUEST_DEADLINE.as_secs() < DRAIN_DEADLINE.as_secs());

const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const IDLE_DEADLINE: Duration = Duration::from_secs(10);
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Longer than any request may take: what was taken is answered before the service ends.
const DRAIN_DEADLINE: Duration = Duration::from_secs(32);
const LEAVE_DEADLINE: Duration = Duration::from_secs(1);
const LINGER_DEADLINE: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const WARN_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 64;
const MAX_HEADER_LIST: u32 = 16 * 1024;

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At once, [`MAX_CONNECTIONS`] by default.
    pub connections: usize,
    /// Of one peer at once, [`MAX_CONNECTIONS_OF_PEER`] by default.
    pub connections_of_peer: usize,
    /// How long a connection may have no request open, 10 s by default. Pings do not count.
    pub idle: Duration,
    /// How long a connection may last, 10 minutes by default; then open requests may finish.
    pub life: Duration,
    /// How long the header of a request may take over HTTP/1.1, 10 s by default. Over HTTP/2 nothing
    /// else is sent before a header is whole (RFC 9113 section 6.10): `idle` bounds it.
    pub header: Duration,
    /// How long a request may take from its header on, its body included, 30 s by default.
    pub request: Duration,
    /// How long its client may then leave the answer untaken, 30 s by default. The connection of one
    /// that gives its stream no window (RFC 9113 section 5.2) is closed.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            connections_of_peer: MAX_CONNECTIONS_OF_PEER,
            idle: IDLE_DEADLINE,
            life: CONNECTION_LIFE,
            header: HEADER_DEADLINE,
            request: REQUEST_DEADLINE,
            answer: ANSWER_DEADLINE,
        }
    }
}

/// Serves until `shutdown` ends, then lets open requests finish, which takes 32 s at most.
///
/// Each request carries the client's address as `ConnectInfo<SocketAddr>`, and on a listener that
/// requires client certificates a [`Peer`] extension. Every refusal leaves as an RFC 9457 problem;
/// a failed handshake is logged with its reason and the client's address.
///
/// # Errors
/// What `shutdown` itself ended with; a failing `accept` is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    tls: impl Into<LiveTls>,
    router: Router,
    shutdown: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    serve_within(Limits::default(), listener, tls, router, shutdown).await
}

/// As [`serve`], within other limits.
///
/// # Errors
/// As for [`serve`].
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    tls: impl Into<LiveTls>,
    router: Router,
    shutdown: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let tls = tls.into();
    let (close, closing) = watch::channel(Closing::NotYet);
    let door = Arc::new(Door::new(limits, tls, router, closing));
    let mut entrance = Entrance::new(limits, listener);
    let mut shutdown = std::pin::pin!(shutdown);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut shutdown => break ended,
            visitor = entrance.next() => {
                tokio::spawn(Arc::clone(&door).admit(visitor));
            }
        }
    };
    drop((entrance, door));
    close.send_replace(Closing::Now);
    // Each connection holds a receiver until it ends.
    if timeout(DRAIN_DEADLINE, close.closed()).await.is_err() {
        warn!("stopped with requests unfinished after {DRAIN_DEADLINE:?}");
    }
    ended
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    NotYet,
    Now,
}

/// Accepts connections as long as there are seats, and not too many of one peer.
struct Entrance {
    listener: TcpListener,
    seats: Arc<Semaphore>,
    peers: Arc<Peers>,
    full: Seldom,
    crowded: Seldom,
}

struct Visitor {
    stream: TcpStream,
    address: SocketAddr,
    _seat: OwnedSemaphorePermit,
    _place: Place,
}

impl Entrance {
    fn new(limits: Limits, listener: TcpListener) -> Self {
        Self {
            listener,
            seats: Arc::new(Semaphore::new(limits.connections)),
            peers: Peers::new(limits.connections_of_peer),
            full: Seldom::new(WARN_EVERY),
            crowded: Seldom::new(WARN_EVERY),
        }
    }

    async fn next(&mut self) -> Visitor {
        loop {
            let seat = self.seat().await;
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Some(place) = self.peers.place(address.ip()) {
                return Visitor {
                    stream,
                    address,
                    _seat: seat,
                    _place: place,
                };
            }
            if self.crowded.is_time() {
                warn!(%address, "a peer has as many connections as it may");
            }
        }
    }

    async fn seat(&mut self) -> OwnedSemaphorePermit {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return seat;
        }
        if self.full.is_time() {
            warn!("every seat is taken: new connections wait");
        }
        let seat = Arc::clone(&self.seats).acquire_owned().await;
        seat.expect("nobody closes the semaphore")
    }
}

struct Door {
    limits: Limits,
    tls: LiveTls,
    http: auto::Builder<TokioExecutor>,
    router: Router,
    closing: watch::Receiver<Closing>,
}

impl Door {
    fn new(
        limits: Limits,
        tls: LiveTls,
        router: Router,
        closing: watch::Receiver<Closing>,
    ) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let router = router.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        Self {
            limits,
            tls,
            http,
            router,
            closing,
        }
    }

    async fn admit(self: Arc<Self>, visitor: Visitor) {
        let Visitor {
            stream, address, ..
        } = visitor;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%address, %error, "cannot set TCP_NODELAY");
        }
        let mut tls = self.tls.watch();
        let config = Arc::clone(&tls.borrow_and_update().config);
        let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
        match timeout(HANDSHAKE_DEADLINE, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, address, tls).await,
            Ok(Err((error, stream))) => {
                warn!(%address, reason = %handshake_reason(&error), "TLS handshake refused");
                linger(stream).await;
            }
            Err(_) => warn!(%address, reason = "no handshake in time", "TLS handshake refused"),
        }
    }

    async fn converse(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        tls: watch::Receiver<ServerTls>,
    ) {
        let chain: Vec<_> = chain_of(&stream)
            .iter()
            .map(|der| der.clone().into_owned())
            .collect();
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
        let requests = Requests::new();
        let service = service_fn(|mut request: Request<Incoming>| {
            let open = requests.begin();
            request.extensions_mut().insert(ConnectInfo(address));
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            answer(self.router.clone(), request, open, self.limits.request)
        });
        let connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let unwelcome = unwelcome(tls, chain, address);
        if let Err(error) = self.see_through(connection, &requests, unwelcome).await {
            debug!(%address, error = &*error, "connection ended");
        }
    }

    /// Drives a connection to its end, which comes when the client closes it, when the service
    /// stops, when it has no request open for too long, when it has lasted long enough, or when its
    /// client would not be let in again; and at once when its client leaves an answer untaken.
    async fn see_through<C>(
        &self,
        mut connection: Pin<&mut C>,
        requests: &Requests,
        unwelcome: impl Future<Output = ()>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        C: GracefulConnection<Error = Box<dyn Error + Send + Sync>>,
    {
        let mut closing = self.closing.clone();
        let enough = async {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing == Closing::Now) => {}
                () = requests.idle(self.limits.idle) => {}
                () = tokio::time::sleep(self.limits.life) => {}
                () = unwelcome => {}
            }
        };
        let limit = self.limits.request + self.limits.answer;
        let untaken = async || -> Result<(), Box<dyn Error + Send + Sync>> {
            requests.overdue(limit).await;
            Err("its client left an answer untaken".into())
        };
        tokio::select! {
            ended = connection.as_mut() => return ended,
            ended = untaken() => return ended,
            () = enough => {}
        }
        connection.as_mut().graceful_shutdown();
        // Leaving in good order takes the client's part in HTTP/2; who does not play it is not
        // waited for once nothing is open.
        tokio::select! {
            ended = connection => ended,
            ended = untaken() => ended,
            () = requests.idle(LEAVE_DEADLINE) => Ok(()),
            () = tokio::time::sleep(DRAIN_DEADLINE) => {
                Err("closed with requests unfinished".into())
            }
        }
    }
}

/// Ends when the server's TLS was replaced by one that refuses this client.
async fn unwelcome(
    mut tls: watch::Receiver<ServerTls>,
    chain: Vec<CertificateDer<'static>>,
    address: SocketAddr,
) {
    loop {
        if tls.changed().await.is_err() {
            // Nobody is left who could replace it.
            return std::future::pending().await;
        }
        let judged = tls.borrow_and_update().still_welcome(&chain);
        if let Err(error) = judged {
            let reason = handshake_reason(&io::Error::other(error));
            warn!(%address, reason, "an open connection is closed: its client is refused now");
            return;
        }
    }
}

fn chain_of(stream: &TlsStream<TcpStream>) -> &[CertificateDer<'static>] {
    stream.get_ref().1.peer_certificates().unwrap_or(&[])
}

fn peer_of(stream: &TlsStream<TcpStream>) -> Result<Option<Peer>, crate::PeerError> {
    let leaf = chain_of(stream).first();
    leaf.map(|der| Peer::from_certificate(der)).transpose()
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    open: Open,
    limit: Duration,
) -> Result<Response, Infallible> {
    // Whatever stands behind a chunked body may have been meant as part of it by somebody on the
    // way (RFC 9112 section 6.1): it is not read.
    let last = request.headers().contains_key(TRANSFER_ENCODING);
    let answered = async { Ok::<_, Infallible>(as_problem(router.call(request).await?).await) };
    let mut response = timeout(limit, answered)
        .await
        .unwrap_or_else(|_| Ok(too_slow(limit)))?;
    if last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(open_until_sent(response, open))
}

fn too_slow(limit: Duration) -> Response {
    let detail = format!("not answered within {} s", limit.as_secs());
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
