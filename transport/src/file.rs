//! Files from a mirror, whole or from where an earlier attempt ended.

use std::time::Duration;

use axum::http::header::{CONTENT_RANGE, RANGE};
use axum::http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::anchor::TrustAnchor;
use crate::identity::Identity;
use crate::tls::client_config;
use crate::transport_error::TransportError;

/// How slowly a server may send before it is left: fewer than [`Pace::bytes`] within
/// [`Pace::window`], or more than [`Pace::whole`] in all. One byte a minute holds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes that each window brings at least, unless the file ends in it.
    pub bytes: usize,
    /// The window; also how long the answer's head may take.
    pub window: Duration,
    /// One request in all.
    pub whole: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            bytes: 512,
            window: Duration::from_secs(20),
            whole: Duration::from_secs(300),
        }
    }
}

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePart {
    /// 403, 404 or 410: there is none.
    Absent,
    /// The server's answer was none of a file.
    Refused(StatusCode),
    /// Bytes.
    Bytes {
        /// Where they begin.
        offset: usize,
        /// At most one more than were asked for.
        bytes: Vec<u8>,
        /// `None` when the file ended here, else why no more came.
        broken: Option<String>,
    },
}

/// A client for static files over HTTP or HTTPS. What it brings has to prove itself: nothing is
/// said here of who sent it over plain HTTP.
#[derive(Clone, Debug)]
pub struct FileClient {
    pool: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pace: Pace,
}

impl FileClient {
    /// A client that believes HTTPS servers of `anchor`, and shows them `identity`.
    #[must_use]
    pub fn new(anchor: &TrustAnchor, identity: Option<Identity>, pace: Pace) -> Self {
        Self::with(client_config(anchor, identity, None), pace)
    }

    /// A client for plain HTTP; it believes no HTTPS server.
    #[must_use]
    pub fn plain(pace: Pace) -> Self {
        let none = RootCertStore::empty();
        let config = ClientConfig::builder()
            .with_root_certificates(none)
            .with_no_client_auth();
        Self::with(config, pace)
    }

    fn with(config: ClientConfig, pace: Pace) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_DEADLINE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { pool, pace }
    }

    /// The file at `url` from byte `offset` on, up to `max_len` bytes of it and one more, by which
    /// the caller sees that it is longer.
    ///
    /// # Errors
    /// [`TransportError`] when no answer came.
    pub async fn get(
        &self,
        url: &str,
        offset: usize,
        max_len: usize,
    ) -> Result<FilePart, TransportError> {
        let bad_url = || TransportError::BadUrl {
            url: url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let mut request = Request::get(uri);
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let request = request
            .body(Full::new(Bytes::new()))
            .map_err(|_| bad_url())?;
        let end = Instant::now() + self.pace.whole;
        let answered = timeout(self.pace.window, self.pool.request(request)).await;
        let response = answered
            .map_err(|_| TransportError::DeadlineExceeded {
                url: url.to_owned(),
                seconds: self.pace.window.as_secs(),
            })?
            .map_err(|error| TransportError::Unreachable {
                url: url.to_owned(),
                source: error.into(),
            })?;
        let offset = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => match range_start(&response) {
                Some(start) => start,
                None => return Ok(FilePart::Refused(StatusCode::PARTIAL_CONTENT)),
            },
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Ok(FilePart::Absent);
            }
            other => return Ok(FilePart::Refused(other)),
        };
        let limit = max_len.saturating_add(1).saturating_sub(offset);
        let (bytes, broken) = self.read(response.into_body(), limit, end).await;
        Ok(FilePart::Bytes {
            offset,
            bytes,
            broken,
        })
    }

    async fn read(
        &self,
        mut body: Incoming,
        limit: usize,
        end: Instant,
    ) -> (Vec<u8>, Option<String>) {
        let mut bytes = Vec::new();
        let (mut window_end, mut window_from) = (Instant::now() + self.pace.window, 0);
        loop {
            let frame = match timeout_at(window_end.min(end), body.frame()).await {
                Err(_) => {
                    let came = bytes.len() - window_from;
                    return (
                        bytes,
                        Some(format!("{came} bytes in the last window: too slow")),
                    );
                }
                Ok(None) => return (bytes, None),
                Ok(Some(Err(error))) => return (bytes, Some(error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Some(data) = frame.data_ref() {
                let room = limit - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if bytes.len() == limit {
                    return (bytes, Some("longer than it may be".to_owned()));
                }
            }
            if bytes.len() - window_from >= self.pace.bytes {
                (window_end, window_from) = (Instant::now() + self.pace.window, bytes.len());
            }
        }
    }
}

/// First byte of `Content-Range: bytes START-END/LENGTH` (RFC 9110 section 14.4).
fn range_start(response: &axum::http::Response<Incoming>) -> Option<usize> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .parse()
        .ok()
}
