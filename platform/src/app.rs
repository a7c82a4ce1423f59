use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::Diagnostic;
use obol_console::FileError;
use obol_credential::UnixTime;
use obol_issuer_client::IssuerClient;
use obol_ledger::DayRuleOutOfRange;
use obol_payment::channel::simulated_bank::{BankKey, BankKeyRefused};
use obol_store::{Book, OpenRefused, SqliteStore};
use obol_transport::{Identity, IdentityError, Problem, TrustAnchor};
use thiserror::Error;
use tracing::error;

use crate::{
    config::{Config, ConfigError},
    packs::{FarePacks, PacksError},
    trust::{TrustError, TrustKeeper},
};

const PEM_MAX: usize = 16 * 1024;

/// Everything a request may need; one for the whole service.
pub struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) issuer: IssuerClient,
    pub(crate) trust: TrustKeeper,
    pub(crate) packs: FarePacks,
    pub(crate) bank: BankKey,
    clock: fn() -> u32,
}

/// Why the platform cannot start.
#[derive(Debug, Error, Diagnostic)]
pub enum StartError {
    /// The configuration or a file it names.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// A file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The identity on mTLS.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Identity(#[from] IdentityError),
    /// The pinned root or the kept trust bundle.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
    /// The folder of fare packs.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Packs(#[from] PacksError),
    /// The bank's key.
    #[error("the bank's public key {}", path.display())]
    #[diagnostic(help("simulated_bank.public_key is a P-256 public key in PEM"))]
    Bank {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BankKeyRefused,
    },
    /// The business day.
    #[error(transparent)]
    #[diagnostic(help("correct business_day_offset_s"))]
    Day(#[from] DayRuleOutOfRange),
    /// The database.
    #[error("the books cannot be opened")]
    #[diagnostic(help("check `database` in the configuration, the disk and the file's owner"))]
    Store(#[from] OpenRefused),
}

impl App {
    /// Opens the books and reads every file the configuration names. `clock` gives seconds since
    /// 1970 UTC.
    ///
    /// # Errors
    /// [`StartError`] with the value seen.
    pub fn open(config: Config, clock: fn() -> u32) -> Result<Self, StartError> {
        let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
        let anchor = TrustAnchor::load(&config.tls.trust)?;
        let issuer = IssuerClient::new(&config.issuer.url, &anchor, identity);
        let packs = FarePacks::publish(&config.fare_packs, config.fare_pack()?)?;
        let store = open_books(&config, &packs)?;
        let trust = TrustKeeper::open(&config.issuer.root, &config.issuer.bundle)?;
        let bank = bank_key(&config.simulated_bank.public_key)?;
        Ok(Self {
            config,
            store: Arc::new(store),
            issuer,
            trust,
            packs,
            bank,
            clock,
        })
    }

    /// Opens the books alone, for commands that need nothing else.
    ///
    /// # Errors
    /// [`StartError`] with the value seen.
    pub fn books(config: &Config) -> Result<SqliteStore, StartError> {
        let packs = FarePacks::publish(&config.fare_packs, config.fare_pack()?)?;
        open_books(config, &packs)
    }

    /// Fetches the trust bundle from the issuer and believes it if the pinned root vouches for it.
    ///
    /// # Errors
    /// [`TrustError`]; what was believed before stays believed.
    pub async fn refresh_trust(&self) -> Result<(), TrustError> {
        self.trust.refresh(&self.issuer).await
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime((self.clock)())
    }

    /// Runs one storage operation on a thread that may block.
    pub(crate) async fn stored<T, E>(
        &self,
        operation: impl FnOnce(&SqliteStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoredError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let store = Arc::clone(&self.store);
        match tokio::task::spawn_blocking(move || operation(&store)).await {
            Ok(result) => result.map_err(StoredError::Refused),
            Err(panic) => Err(StoredError::Panicked(panic.to_string())),
        }
    }
}

/// Why a storage operation gave nothing.
pub(crate) enum StoredError<E> {
    /// It said no.
    Refused(E),
    /// It panicked: a bug, and its transaction was rolled back.
    Panicked(String),
}

impl<E> StoredError<E> {
    /// The problem to answer with, `of` for a refusal.
    pub(crate) fn problem(self, of: impl FnOnce(E) -> Problem) -> Problem {
        match self {
            Self::Refused(refused) => of(refused),
            Self::Panicked(panic) => {
                error!(panic, "a storage operation panicked");
                Problem::internal()
            }
        }
    }
}

/// Logs what failed inside and answers 500 without it.
pub(crate) fn internal(failure: impl std::error::Error) -> Problem {
    let mut reason = failure.to_string();
    let mut cause = failure.source();
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    error!(reason, "the service failed");
    Problem::internal()
}

fn open_books(config: &Config, packs: &FarePacks) -> Result<SqliteStore, StartError> {
    let book = Book::new(packs.current().currency(), config.business_day_offset_s)?;
    Ok(SqliteStore::open(&config.database, book)?)
}

fn bank_key(path: &Path) -> Result<BankKey, StartError> {
    let pem = obol_console::read_limited(path, PEM_MAX)?;
    BankKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|source| StartError::Bank {
        path: path.to_owned(),
        source,
    })
}
