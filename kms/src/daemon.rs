//! `obol-kms serve`: typed signing of credential claims over a Unix socket.
//!
//! ```text
//! caller ══ frames ══▶ peer uid ──▶ request ──▶ admission by deadline ──▶ threads ──▶ Engine
//!   many under way       checked     parsed      bounded queue                          │
//! caller ◀═ frames ═══ verified signatures, in the order they are ready ◀───────────────┘
//! ```

mod config;
mod connection;
mod dispatch;
mod socket;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::credential::IssuerKey;
pub use crate::engine::Clock;
use crate::engine::Engine;
use crate::keys::FindError;
use crate::module::{LoadError, Module};
use crate::signer::Backend;
use crate::token::{OpenError, Token};
use crate::worker::{Worker, WorkerCommand, WorkerDuty, WorkerStartError};
use crate::x509::{
    Certificate, IssuerCertificate, IssuerCertificateError, NotACertificate, PEM_MAX,
};
use crate::{ConfigError, TokenConfig};

pub use config::DaemonConfig;
use dispatch::Dispatch;
pub use socket::SocketError;

/// In which process the vendor's module runs.
#[derive(Debug, Clone)]
pub enum TokenPlace {
    /// In the daemon's own: a hung call costs its thread, a crash costs the daemon.
    ThisProcess,
    /// In a worker's, which is started again when it crashes or hangs.
    Worker(WorkerCommand),
}

/// A daemon that holds its token and its socket and is ready to serve.
pub struct Daemon {
    listener: UnixListener,
    socket: socket::SocketFile,
    shared: Arc<Shared>,
    max_connections: usize,
}

pub(crate) struct Shared {
    dispatch: Dispatch,
    engine: Arc<Engine>,
    allowed_uids: Vec<u32>,
    request_deadline: std::time::Duration,
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
    /// A certificate's key is not in the token.
    #[error("an issuer certificate's key is not fit")]
    Key(#[source] FindError),
    /// The worker process did not open the token.
    #[error(transparent)]
    Worker(#[from] WorkerStartError),
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
    pub fn start(
        config: &DaemonConfig,
        place: TokenPlace,
        clock: Clock,
    ) -> Result<Daemon, StartError> {
        let issuers = config
            .issuers
            .iter()
            .map(issuer_key)
            .collect::<Result<Vec<_>, _>>()?;
        let backend = open(config, place, &issuers)?;
        let engine = Arc::new(Engine::new(backend, issuers, clock));
        let (listener, socket) = socket::bind(&config.socket, config.socket_mode)?;
        let allowed_uids = match &config.allowed_uids {
            Some(uids) => uids.clone(),
            None => vec![socket.owner()],
        };
        let dispatch =
            Dispatch::start(Arc::clone(&engine), config.sessions).map_err(StartError::Threads)?;
        let shared = Arc::new(Shared {
            dispatch,
            engine,
            allowed_uids,
            request_deadline: config.request_deadline,
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
                connection::serve(stream, shared, stopped).await;
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

fn open(
    config: &DaemonConfig,
    place: TokenPlace,
    issuers: &[IssuerKey],
) -> Result<Backend, StartError> {
    let token_config = TokenConfig::load(&config.token)?;
    let demanded: Vec<_> = issuers.iter().map(IssuerKey::id).collect();
    match place {
        TokenPlace::ThisProcess => {
            let module = Module::load(&token_config.module)?;
            let token = Token::open(&module, &token_config, config.sessions)?;
            token.demand(&demanded).map_err(StartError::Key)?;
            Ok(token.into())
        }
        TokenPlace::Worker(command) => {
            let duty = WorkerDuty {
                label: token_config.label,
                sessions: config.sessions,
                demanded,
                call_limit: config.call_limit,
            };
            Ok(Worker::start(command, duty)?.into())
        }
    }
}

fn issuer_key(path: &PathBuf) -> Result<IssuerKey, StartError> {
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
    Ok(IssuerKey::of(issuer))
}
