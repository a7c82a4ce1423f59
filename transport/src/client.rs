use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{CONTENT_TYPE, DATE, HeaderValue};
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::anchor::TrustAnchor;
use crate::identity::Identity;
use crate::problem::Problem;
use crate::refusals::{Refusals, Watched};
use crate::tls::client_config;
use crate::transport_error::TransportError;

/// The largest reply body accepted, in bytes.
pub const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const REPLY_DEADLINE: Duration = Duration::from_secs(30);
/// So long a request may go on after the latest connection to its server was refused: another,
/// older connection may still answer it.
const REFUSAL_GRACE: Duration = Duration::from_secs(5);
const IDLE_LIFE: Duration = Duration::from_secs(30);

/// What a service answered, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The content type as sent; empty when there is none.
    pub content_type: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, at most [`MAX_REPLY_BYTES`].
    pub body: Bytes,
    /// The server's clock as its `Date` header tells it (RFC 9110 section 6.6.1), seconds since
    /// 1970 UTC. Over mutual TLS it is authenticated and not older than the exchange.
    pub date: Option<u64>,
}

impl Reply {
    /// Passes a 2xx reply on and reads any other as the problem it is.
    ///
    /// # Errors
    /// The [`Problem`] that the service sent.
    pub fn success(self) -> Result<Self, Problem> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(Problem::from_reply(&self))
        }
    }
}

/// The version of HTTP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Versions {
    One,
    Two,
}

/// An HTTPS client that trusts one anchor, with deadlines and a pool of connections; cheap to clone,
/// and all clones are one.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    connections: Arc<watch::Sender<Connections>>,
    role: Option<String>,
    versions: Versions,
}

#[derive(Clone, Debug)]
struct Connections {
    pool: Client<Watched<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    refusals: Refusals,
}

impl HttpsClient {
    /// A client that believes every server certificate of `anchor` whose host name fits, and shows
    /// `identity`.
    #[must_use]
    pub fn new(anchor: &TrustAnchor, identity: Option<Identity>) -> Self {
        Self::with_role(anchor, identity, None, Versions::One)
    }

    /// As [`HttpsClient::new`], but every request goes over one HTTP/2 connection: as many are
    /// under way as the server allows, and the rest waits for them.
    #[must_use]
    pub fn multiplexed(anchor: &TrustAnchor, identity: Option<Identity>) -> Self {
        Self::with_role(anchor, identity, None, Versions::Two)
    }

    /// As [`HttpsClient::new`], but the server's certificate must also be of `role`
    /// (`obol://ROLE/…`): another member of the deployment cannot stand in for it.
    #[must_use]
    pub fn expecting(role: &str, anchor: &TrustAnchor, identity: Option<Identity>) -> Self {
        Self::with_role(anchor, identity, Some(role), Versions::One)
    }

    fn with_role(
        anchor: &TrustAnchor,
        identity: Option<Identity>,
        role: Option<&str>,
        versions: Versions,
    ) -> Self {
        let connections = Connections::new(anchor, identity, role, versions);
        Self {
            connections: Arc::new(watch::Sender::new(connections)),
            role: role.map(str::to_owned),
            versions,
        }
    }

    /// From the next request on, every clone of this client believes `anchor`, shows `identity` and
    /// makes its connections anew. Requests under way end on the connections they have.
    pub fn replace(&self, anchor: &TrustAnchor, identity: Option<Identity>) {
        let role = self.role.as_deref();
        let connections = Connections::new(anchor, identity, role, self.versions);
        self.connections.send_replace(connections);
    }

    /// GET.
    ///
    /// # Errors
    /// [`TransportError`] when no whole reply came.
    pub async fn get(&self, url: &str) -> Result<Reply, TransportError> {
        self.send(request(Method::GET, url, None, Bytes::new())?)
            .await
    }

    /// POST.
    ///
    /// # Errors
    /// [`TransportError`] when no whole reply came.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Reply, TransportError> {
        self.send(request(Method::POST, url, Some(content_type), body)?)
            .await
    }

    /// Any request, with headers of the caller's.
    ///
    /// # Errors
    /// [`TransportError`] when no whole reply came.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Reply, TransportError> {
        self.send_within(request, REPLY_DEADLINE).await
    }

    /// As [`HttpsClient::send`], with another deadline than 30 s for the whole exchange.
    ///
    /// # Errors
    /// [`TransportError`] when no whole reply came.
    pub async fn send_within(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
    ) -> Result<Reply, TransportError> {
        let url = request.uri().to_string();
        if request.uri().scheme() != Some(&Scheme::HTTPS) {
            return Err(TransportError::BadUrl { url });
        }
        match timeout(deadline, self.exchange(&url, request)).await {
            Ok(reply) => reply,
            Err(_) => Err(TransportError::DeadlineExceeded {
                url,
                seconds: deadline.as_secs_f64().ceil() as u64,
            }),
        }
    }

    async fn exchange(&self, url: &str, request: Request<Bytes>) -> Result<Reply, TransportError> {
        let Connections { pool, refusals } = self.connections.borrow().clone();
        let server = request.uri().clone();
        let response = tokio::select! {
            biased;
            response = pool.request(request.map(Full::new)) => response,
            refusal = refusals.stands(&server, REFUSAL_GRACE) => {
                return Err(TransportError::of_tls(url.to_owned(), refusal));
            }
        };
        let response =
            response.map_err(|error| TransportError::of(url, error, refusals.latest(&server)))?;
        read(url, response).await
    }
}

impl Connections {
    fn new(
        anchor: &TrustAnchor,
        identity: Option<Identity>,
        role: Option<&str>,
        versions: Versions,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(anchor, identity, role))
            .https_only();
        let connector = match versions {
            Versions::One => connector.enable_http1().wrap_connector(tcp),
            Versions::Two => connector.enable_http2().wrap_connector(tcp),
        };
        let refusals = Refusals::default();
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIFE)
            .http2_only(versions == Versions::Two)
            .build(Watched {
                connector,
                refusals: refusals.clone(),
            });
        Self { pool, refusals }
    }
}

fn request(
    method: Method,
    url: &str,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Request<Bytes>, TransportError> {
    let bad_url = || TransportError::BadUrl {
        url: url.to_owned(),
    };
    let uri: Uri = url.parse().map_err(|_| bad_url())?;
    let mut builder = Request::builder().method(method).uri(uri);
    if let Some(content_type) = content_type {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    builder.body(body).map_err(|_| bad_url())
}

async fn read(url: &str, response: Response<Incoming>) -> Result<Reply, TransportError> {
    let (parts, body) = response.into_parts();
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let body = Limited::new(body, MAX_REPLY_BYTES)
        .collect()
        .await
        .map_err(|source| {
            let url = url.to_owned();
            if source.is::<LengthLimitError>() {
                TransportError::ReplyTooLarge {
                    url,
                    limit: MAX_REPLY_BYTES,
                }
            } else {
                TransportError::ConnectionLost { url, source }
            }
        })?;
    Ok(Reply {
        date: parts.headers.get(DATE).and_then(seconds),
        status: parts.status,
        content_type: content_type.unwrap_or("").to_owned(),
        headers: parts.headers,
        body: body.to_bytes(),
    })
}

fn seconds(date: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(date.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}
