//! `obol-kms serve`: typed signing of credential claims over a Unix socket.
//!
//! ```text
//! caller ── frame ──▶ peer uid checked ──▶ request parsed ──▶ bounded queue ──▶ signer threads
//!                                                                             rules, hash,
//! caller ◀── frame ── verified signature ◀───────────────────────────────────  C_Sign, verify
//! ```

mod config;
mod connection;
mod signers;
mod socket;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use obol_credential::UnixTime;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::credential::IssuerKey;
use crate::keys::FindError;
use crate::module::{LoadError, Module};
use crate::token::{OpenError, Token};
use crate::x509::{
    Certificate, IssuerCertificate, IssuerCertificateError, NotACertificate, PEM_MAX,
};
use crate::{ConfigError, TokenConfig};

pub use config::DaemonConfig;
use signers::Signers;
pub use socket::SocketError;

/// Where the daemon takes the time from.
pub type Clock = fn() -> UnixTime;

/// A daemon that holds its token and its socket and is ready to serve.
pub struct Daemon {
    listener: UnixListener,
    socket: socket::SocketFile,
    shared: Arc<Shared>,
    max_connections: usize,
}

pub(crate) struct Shared {
    signers: Signers,
    keys: Vec<IssuerKey>,
    allowed_uids: Vec<u32>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration file was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The module did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The token did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An issuer's certificate could not be read.
    #[error("issuer certificate {} cannot be read", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is no certificate.
    #[error("issuer certificate {}", path.display())]
    NotACertificate {
        /// The file.
        path: PathBuf,
        /// What it is not.
        source: NotACertificate,
    },
    /// The certificate gives no authority to sign credentials.
    #[error("issuer certificate {} is refused", path.display())]
    NotAnIssuer {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IssuerCertificateError,
    },
    /// The certificate's key is not in the token.
    #[error("issuer certificate {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<FindError>,
    },
    /// The socket could not be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system gave no threads.
    #[error("no signer threads")]
    Threads(#[source] std::io::Error),
}

impl Daemon {
    /// Opens the token, finds the keys of the issuers' certificates and binds the socket.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub fn start(config: &DaemonConfig, clock: Clock) -> Result<Daemon, StartError> {
        let token_config = TokenConfig::load(&config.token)?;
        let module = Module::load(&token_config.module)?;
        let token = Arc::new(Token::open(&module, &token_config, config.sessions)?);
        let keys = config
            .issuers
            .iter()
            .map(|path| issuer_key(&token, path))
            .collect::<Result<Vec<_>, _>>()?;
        let (listener, socket) = socket::bind(&config.socket, config.socket_mode)?;
        let allowed_uids = match &config.allowed_uids {
            Some(uids) => uids.clone(),
            None => vec![socket.owner()],
        };
        let signers = Signers::start(token, config.sessions, config.request_deadline, clock)
            .map_err(StartError::Threads)?;
        let shared = Arc::new(Shared {
            signers,
            keys,
            allowed_uids,
        });
        Ok(Daemon {
            listener,
            socket,
            shared,
            max_connections: config.max_connections,
        })
    }

    /// The socket's path.
    pub fn path(&self) -> &std::path::Path {
        self.socket.path()
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
                connection::serve(stream, &shared, stopped).await;
                drop(place);
            });
        }
        drop(stop);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn issuer_key(token: &Token, path: &PathBuf) -> Result<IssuerKey, StartError> {
    use std::io::Read;
    let unreadable = |source| StartError::CertificateFile {
        path: path.clone(),
        source,
    };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(PEM_MAX as u64)
        .read_to_end(&mut pem)
        .map_err(unreadable)?;
    let certificate =
        Certificate::from_pem(&pem).map_err(|source| StartError::NotACertificate {
            path: path.clone(),
            source,
        })?;
    let issuer =
        IssuerCertificate::read(&certificate).map_err(|source| StartError::NotAnIssuer {
            path: path.clone(),
            source,
        })?;
    IssuerKey::find(token, issuer).map_err(|source| StartError::Key {
        path: path.clone(),
        source: Box::new(source),
    })
}
