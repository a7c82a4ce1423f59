//! Why a server ended a connection, kept until the request that used it fails.
//!
//! In TLS 1.3 a client's handshake is over before the server has judged its certificate, so the
//! alert arrives on a connection that is already in the pool. If it arrives before the request is
//! handed over, the HTTP library reports a closed connection and drops the reason. Here it is kept,
//! per server, until the next connection to that server.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::sync::Notify;
use tokio::time::timeout;
use tower_service::Service;

use crate::transport_error::find;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    latest: Mutex<HashMap<Authority, rustls::Error>>,
    changed: Notify,
}

impl Refusals {
    /// Ends when the latest connection to this server has been refused for `grace` and no other was
    /// tried since: under load a request was seen, rarely, to outlive its refused connection.
    pub(crate) async fn stands(&self, server: &Uri, grace: Duration) -> rustls::Error {
        loop {
            let changed = self.0.changed.notified();
            match self.latest(server) {
                None => changed.await,
                Some(_) if timeout(grace, changed).await.is_ok() => {}
                Some(error) => return error,
            }
        }
    }

    /// The TLS error that ended the latest connection to this server, if one did.
    pub(crate) fn latest(&self, server: &Uri) -> Option<rustls::Error> {
        self.map().get(server.authority()?).cloned()
    }

    fn forget(&self, server: &Authority) {
        self.map().remove(server);
        self.0.changed.notify_waiters();
    }

    fn keep(&self, server: &Authority, error: &io::Error) {
        if let Some(reason) = find::<rustls::Error>(error) {
            self.map().insert(server.clone(), reason.clone());
            self.0.changed.notify_waiters();
        }
    }

    /// A map of plain values is whole whoever panicked while holding it.
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<Authority, rustls::Error>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connector whose connections report to [`Refusals`].
#[derive(Clone, Debug)]
pub(crate) struct Watched<C> {
    pub(crate) connector: C,
    pub(crate) refusals: Refusals,
}

impl<C> Service<Uri> for Watched<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: Unpin,
    C::Future: Send + 'static,
{
    type Response = WatchedStream<C::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let authority = server.authority().cloned();
        let refusals = self.refusals.clone();
        let connecting = self.connector.call(server);
        Box::pin(async move {
            let server = authority.ok_or("the URL names no server")?;
            refusals.forget(&server);
            Ok(WatchedStream {
                stream: connecting.await?,
                server,
                refusals,
            })
        })
    }
}

pub(crate) struct WatchedStream<S> {
    stream: S,
    server: Authority,
    refusals: Refusals,
}

impl<S: Read + Unpin> Read for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Err(error) = &read {
            self.refusals.keep(&self.server, error);
        }
        Poll::Ready(read)
    }
}

impl<S: Write + Unpin> Write for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

impl<S: Connection> Connection for WatchedStream<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
