use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use miette::Diagnostic;
use obol_console::FileError;
use obol_credential::{Kid, UnixTime};
use obol_issuer_client::{BadIssuers, IssuerClient, PublishingClient};
use obol_ledger::DayRuleOutOfRange;
use obol_payment::channel::simulated_bank::{BankKey, BankKeyRefused};
use obol_store::{Book, Books, Fault, OpenRefused, SqliteStore};
use obol_transport::{Identity, IdentityError, Problem, TrustAnchor};
use obol_verifier_sdk::IssuerKey;
use thiserror::Error;
use tracing::{error, warn};

use crate::{
    config::{Config, ConfigError},
    enrolments::Enrolments,
    issuing::Issuing,
    packs::{FarePacks, PacksError},
    publishing::publishing,
    reexamination::{Scope, reexamine_in_background},
    trust::{TrustError, TrustKeeper},
    witness::WitnessError,
    witnessing::{Witnessed, open_all},
};

const PEM_MAX: usize = 16 * 1024;
/// How long an upload waits for the issuer when it names a key the platform lacks.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// How long each issuer has to give its bundle: less than what an upload waits.
const BUNDLE_DEADLINE: Duration = Duration::from_secs(4);

/// Everything a request may need; one for the whole service.
pub struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) issuer: IssuerClient,
    pub(crate) publishing: PublishingClient,
    pub(crate) trust: TrustKeeper,
    pub(crate) packs: FarePacks,
    pub(crate) bank: BankKey,
    pub(crate) enrolments: Enrolments,
    pub(crate) issuing: Arc<Issuing>,
    pub(crate) witnessed: Vec<Arc<Witnessed>>,
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
    /// The issuers' names.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Issuers(#[from] BadIssuers),
    /// The system gives no randomness.
    #[error("the system gives no random bytes: {0}")]
    #[diagnostic(help("check the operating system"))]
    Random(String),
    /// The pinned root or the kept trust bundle.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] TrustError),
    /// The folder of fare packs.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Packs(#[from] PacksError),
    /// The witness's key or what it remembers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Witness(#[from] WitnessError),
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
    /// The books.
    #[error("the books cannot be read")]
    #[diagnostic(help("check the disk; `obol-platform check-books` recounts them"))]
    Fault(#[from] Fault),
}

/// A client of all issuers of a configuration.
///
/// # Errors
/// [`StartError`] when the identity on mTLS or the list of issuers cannot be used.
pub fn issuers(config: &Config) -> Result<IssuerClient, StartError> {
    let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
    let anchor = TrustAnchor::load(&config.tls.trust)?;
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(|source| StartError::Random(source.to_string()))?;
    Ok(IssuerClient::new(
        &config.issuer.issuers,
        &anchor,
        identity,
        seed,
    )?)
}

impl App {
    /// Opens the books and reads every file the configuration names. `clock` gives seconds since
    /// 1970 UTC.
    ///
    /// # Errors
    /// [`StartError`] with the value seen.
    pub fn open(config: Config, clock: fn() -> u32) -> Result<Self, StartError> {
        let issuer = issuers(&config)?;
        let publishing = publishing(&config)?;
        let packs = FarePacks::publish(&config.fare_packs, config.fare_pack()?)?;
        let store = Self::books(&config)?;
        let (root, bundle) = (&config.issuer.root, &config.issuer.bundle);
        let trust = TrustKeeper::open(root, bundle, &store.issuer_certificates()?)?;
        let witnessed = open_all(config.witness.as_ref())?;
        let bank = bank_key(&config.simulated_bank.public_key)?;
        Ok(Self {
            config,
            store: Arc::new(store),
            issuer,
            publishing,
            trust,
            packs,
            bank,
            enrolments: Enrolments::default(),
            issuing: Arc::default(),
            witnessed,
            clock,
        })
    }

    /// Believes another anchor and shows another identity to issuers from now on.
    pub fn take_tls(&self, anchor: &TrustAnchor, identity: &Identity) {
        self.issuer.replace_tls(anchor, identity.clone());
        self.publishing.replace_tls(anchor, identity.clone());
    }

    /// Opens the books alone, for commands that need nothing else.
    ///
    /// # Errors
    /// [`StartError`] with the value seen.
    pub fn books(config: &Config) -> Result<SqliteStore, StartError> {
        let currency = config.fare_pack()?.currency();
        let book = Book::new(currency, config.business_day_offset_s)?;
        Ok(SqliteStore::open(&config.database, book)?)
    }

    /// Opens the books to read, beside a service that may be writing to them.
    ///
    /// # Errors
    /// [`StartError`] with the value seen.
    pub fn books_to_read(config: &Config) -> Result<Books, StartError> {
        Ok(Books::open(&config.database)?)
    }

    /// Fetches each issuer's trust bundle and believes those that the pinned root vouches for. An
    /// issuer that gives none is logged: its keys stay believed.
    ///
    /// # Errors
    /// [`TrustError`] of the last issuer when none gave one.
    pub async fn refresh_trust(&self) -> Result<(), TrustError> {
        let (mut believed, mut failed) = (false, None);
        for (issuer, bytes) in self.issuer.within(BUNDLE_DEADLINE).trust_bundles().await {
            let done = match bytes {
                Ok(bytes) => self.believe(bytes).await,
                Err(source) => Err(TrustError::Issuer { issuer, source }),
            };
            match done {
                Ok(()) => believed = true,
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if !believed => Err(error),
            Some(error) => {
                let reason = obol_console::two_lines(&error.into());
                warn!(reason, "an issuer's trust bundle was not refreshed");
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn believe(&self, bytes: Vec<u8>) -> Result<(), TrustError> {
        let bundle = self.trust.vouch(bytes)?;
        // Durable before it is believed: a ride that is charged can be verified ever after.
        let (certificates, now) = (bundle.certificates.clone(), self.now());
        self.stored(move |store| store.keep_issuer_certificates(&certificates, now))
            .await
            .map_err(|error| match error {
                StoredError::Refused(fault) => TrustError::Kept(fault),
                StoredError::Panicked(panic) => TrustError::Panicked(panic),
            })?;
        self.trust.believe(bundle)
    }

    /// The issuer keys by which rides are judged: those of the bundle first, then retired ones.
    pub fn issuer_kids(&self) -> Vec<Kid> {
        self.trust
            .known()
            .keys()
            .iter()
            .map(IssuerKey::kid)
            .collect()
    }

    /// Asks the issuer, now and then, when rides name a key the platform does not know: the
    /// bundle may be an hour old, and its key younger.
    pub(crate) async fn learn_keys(self: &Arc<Self>, kids: &BTreeSet<Kid>) {
        if !self.trust.lacks(kids) {
            return;
        }
        let Some(_turn) = self.trust.turn_to_ask(self.now()).await else {
            return;
        };
        match tokio::time::timeout(ASK_DEADLINE, self.refresh_trust()).await {
            Ok(Ok(())) => reexamine_in_background(self, Scope::WhatMayPass),
            Ok(Err(error)) => {
                let reason = obol_console::two_lines(&error.into());
                warn!(reason, "an unknown issuer key was asked for in vain");
            }
            Err(_) => warn!("the issuer did not answer in {ASK_DEADLINE:?}"),
        }
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

fn bank_key(path: &Path) -> Result<BankKey, StartError> {
    let pem = obol_console::read_limited(path, PEM_MAX)?;
    BankKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|source| StartError::Bank {
        path: path.to_owned(),
        source,
    })
}
