//! From a configuration to a daemon that serves.

use std::collections::HashMap;
use std::sync::Arc;

use obol_kms_client::SpkiId;
use obol_kms_policy::{Policy, PolicyError};
use obol_kms_registry::{Fault, OpenError as RegistryError, Registry};
use tokio::sync::Semaphore;

use crate::daemon::dispatch::Dispatch;
use crate::daemon::rounds::Rounds;
use crate::daemon::{Clock, Daemon, DaemonConfig, REQUESTS_MAX_KIB, Shared, SocketError, socket};
use crate::engine::{AuditSetup, Engine, EngineSetup, OpenEngineError, demanded};
use crate::keys::FindError;
use crate::module::{LoadError, Module};
use crate::signer::Backend;
use crate::token::{OpenError, Token};
use crate::worker::{Worker, WorkerCommand, WorkerDuty, WorkerStartError};
use crate::x509::Rules;
use crate::{ConfigError, TokenConfig};

/// In which process the vendors' modules run.
#[derive(Debug, Clone)]
pub enum TokenPlace {
    /// In the daemon's own: a hung call costs its thread, a crash costs the daemon.
    ThisProcess,
    /// In a worker's for each token, which is started again when it crashes or hangs. The path of
    /// the token file follows the command's arguments.
    Worker(WorkerCommand),
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration file was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The registry did not open.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The policies were refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A module did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A token did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A key that may sign is not in its token.
    #[error("a key that the registry lets sign is not fit")]
    Key(#[source] FindError),
    /// A worker process did not open its token.
    #[error(transparent)]
    Worker(#[from] WorkerStartError),
    /// Keys, log and tokens do not fit together, or the log does not open.
    #[error(transparent)]
    Engine(#[from] OpenEngineError),
    /// The socket could not be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system gave no threads.
    #[error("no signer threads")]
    Threads(#[source] std::io::Error),
}

impl Daemon {
    /// Opens registry, policy, tokens and audit log, and binds the socket. Must be called inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub fn start(
        config: &DaemonConfig,
        place: TokenPlace,
        clock: Clock,
    ) -> Result<Daemon, StartError> {
        let registry = Registry::open(&config.registry)?;
        let policy = match &config.policy {
            Some(folder) => Policy::load(folder)?,
            None => Policy::built_in(),
        };
        let tokens = open_tokens(config, &place, &registry)?;
        let engine = Arc::new(Engine::open(EngineSetup {
            registry,
            policy,
            rules: Rules::built_in(),
            tokens,
            audit: AuditSetup {
                folder: config.audit.folder.clone(),
                origin: config.audit.origin.clone(),
                key: config.audit.key,
                kept: None,
            },
            clock,
        })?);
        let queues = config
            .tokens
            .iter()
            .map(|token| Dispatch::start(&engine, token.sessions))
            .collect::<Result<_, _>>()
            .map_err(StartError::Threads)?;
        let rounds = Rounds::start(&engine).map_err(StartError::Threads)?;
        let (listener, socket) = socket::bind(&config.socket, config.socket_mode)?;
        let shared = Arc::new(Shared {
            queues,
            engine,
            clients: config.clients.clone(),
            request_deadline: config.request_deadline,
            bytes: Arc::new(Semaphore::new(REQUESTS_MAX_KIB)),
        });
        Ok(Daemon {
            listener,
            socket,
            shared,
            max_connections: config.max_connections,
            rounds,
        })
    }
}

fn open_tokens(
    config: &DaemonConfig,
    place: &TokenPlace,
    registry: &Registry,
) -> Result<Vec<Backend>, StartError> {
    // A module is initialised once in a process, however many of its tokens are used.
    let mut modules = HashMap::new();
    let mut backends = Vec::new();
    for entry in &config.tokens {
        let token = TokenConfig::load(&entry.file)?;
        let demanded = demanded(registry, &token.serial)?;
        let backend = match place {
            TokenPlace::ThisProcess => {
                let module = match modules.entry(token.module.clone()) {
                    std::collections::hash_map::Entry::Occupied(loaded) => loaded.into_mut(),
                    std::collections::hash_map::Entry::Vacant(free) => {
                        free.insert(Module::load(&token.module)?)
                    }
                };
                open_here(module, &token, entry.sessions, &demanded)?
            }
            TokenPlace::Worker(command) => {
                let mut command = command.clone();
                command.arguments.push(entry.file.clone().into());
                let duty = WorkerDuty {
                    label: token.label,
                    serial: token.serial,
                    sessions: entry.sessions,
                    demanded,
                    call_limit: config.call_limit,
                };
                Worker::start(command, duty)?.into()
            }
        };
        backends.push(backend);
    }
    Ok(backends)
}

fn open_here(
    module: &Module,
    config: &TokenConfig,
    sessions: usize,
    demanded: &[SpkiId],
) -> Result<Backend, StartError> {
    let token = Token::open(module, config, sessions)?;
    token.demand(demanded).map_err(StartError::Key)?;
    Ok(token.into())
}
