//! Metrics and health over HTTP, for this machine alone.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use obol_kms::daemon::{MetricsAddress, Monitor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Connections at a time; a scraper needs one.
const CONNECTIONS_MAX: usize = 8;
/// Longest life of a connection.
const LIFE: Duration = Duration::from_secs(10);

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be served at {address}")]
pub(crate) struct CannotListen {
    address: String,
    source: std::io::Error,
}

/// A bound listener.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

pub(super) async fn bind(address: &MetricsAddress) -> Result<Listener, CannotListen> {
    match address {
        MetricsAddress::Loopback(address) => TcpListener::bind(address)
            .await
            .map(Listener::Tcp)
            .map_err(|source| CannotListen {
                address: address.to_string(),
                source,
            }),
        MetricsAddress::Unix(path) => bind_unix(path).map_err(|source| CannotListen {
            address: path.display().to_string(),
            source,
        }),
    }
}

/// Under a temporary name first, so that the socket is never reachable with wider permissions. One
/// that a killed daemon left is replaced: the daemon's own socket says whether another runs.
fn bind_unix(path: &Path) -> std::io::Result<Listener> {
    let temporary: PathBuf = path.with_added_extension(std::process::id().to_string());
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o600))?;
    std::fs::rename(&temporary, path)?;
    Ok(Listener::Unix(listener))
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: Listener, monitor: Monitor) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(listener) => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, _)| spawn(stream, &monitor, place))
            }
            Listener::Unix(listener) => {
                let accepted = listener.accept().await;
                accepted.map(|(stream, _)| spawn(stream, &monitor, place))
            }
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "a connection for metrics could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    monitor: &Monitor,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let monitor = monitor.clone();
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let answer = answer(&request, &monitor);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        if let Ok(Err(error)) = tokio::time::timeout(LIFE, connection).await {
            tracing::debug!(%error, "a connection for metrics failed");
        }
        drop(place);
    });
}

fn answer(request: &Request<Incoming>, monitor: &Monitor) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            (StatusCode::OK, kind, monitor.metrics())
        }
        (&Method::GET, "/healthz") => {
            let report = monitor.report();
            let faults = report.faults.iter().map(|line| format!("{line}\n"));
            let warnings = report.warnings.iter();
            let warnings = warnings.map(|line| format!("degraded: {line}\n"));
            let body: String = faults.chain(warnings).collect();
            match report.faults.is_empty() {
                true if body.is_empty() => (StatusCode::OK, TEXT, "ok\n".to_owned()),
                true => (StatusCode::OK, TEXT, body),
                false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, body),
            }
        }
        _ => {
            let body = "GET /metrics or /healthz\n".to_owned();
            (StatusCode::NOT_FOUND, TEXT, body)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
