//! The vendor's module: loaded once, initialised once, finalised when its last user is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::RvError;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;

use crate::config::Pin;
use crate::error::CallError;

/// Modules of this process that are between `C_Initialize` and `C_Finalize`. PKCS#11 allows one
/// initialisation per process, and two loaders of one library race inside it.
static LOADED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A loaded and initialised PKCS#11 module: the one owner of it in this process.
///
/// Tokens opened on it keep it alive. `C_Finalize` runs exactly once, after the last of them is
/// gone, so no call can be inside the library then; [`Module::finalize`] does it at a known moment.
#[derive(Debug)]
pub struct Module {
    pub(crate) loaded: Arc<Loaded>,
}

/// Why a module could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file at the configured path.
    #[error("PKCS#11 module {} does not exist", .0.display())]
    Missing(PathBuf),
    /// The file is no shared library, or no PKCS#11 module.
    #[error("{} is not a PKCS#11 module: {reason}", path.display())]
    NotAModule {
        /// The configured path.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// This process has it already; share the first [`Module`] instead.
    #[error("PKCS#11 module {} is already loaded in this process", .0.display())]
    AlreadyLoaded(PathBuf),
    /// `C_Initialize` failed.
    #[error("PKCS#11 module {} does not start", path.display())]
    Initialize {
        /// The configured path.
        path: PathBuf,
        /// What `C_Initialize` answered.
        source: CallError,
    },
}

/// Why [`Module::finalize`] did not finalise.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// Tokens are still open; finalising under them would be undefined behaviour.
    #[error("{0} open tokens still use the module")]
    InUse(usize),
    /// `C_Finalize` failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A token as a module lists it. Slot numbers are left out on purpose: they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSummary {
    /// Label given at initialisation, at most 32 bytes.
    pub label: String,
    /// Serial number given by the module, at most 16 characters.
    pub serial: String,
    /// The vendor's model name.
    pub model: String,
    /// The vendor's name.
    pub manufacturer: String,
}

/// Why a token could not be initialised.
#[derive(Debug, thiserror::Error)]
pub enum InitializeError {
    /// The label is empty or longer than PKCS#11's 32 bytes.
    #[error("token label {0:?} is not 1 to 32 bytes long")]
    Label(String),
    /// A token of this label exists.
    #[error("a token labelled {0:?} exists already")]
    LabelTaken(String),
    /// Every slot holds an initialised token.
    #[error("the module offers no uninitialised token")]
    NoFreeSlot,
    /// A PKCS#11 call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Module {
    /// Loads the library at `path` and initialises it with operating system locking.
    ///
    /// # Errors
    /// [`LoadError`]: no such file, no module, already loaded, or refused by `C_Initialize`.
    pub fn load(path: &Path) -> Result<Module, LoadError> {
        let path = path
            .canonicalize()
            .map_err(|_| LoadError::Missing(path.to_path_buf()))?;
        // A poisoned lock only means that another loader panicked; the set itself stays true.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.contains(&path) {
            return Err(LoadError::AlreadyLoaded(path));
        }
        let pkcs11 = Pkcs11::new(&path).map_err(|error| LoadError::NotAModule {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        initialize(&pkcs11).map_err(|source| LoadError::Initialize {
            path: path.clone(),
            source,
        })?;
        loaded.insert(path.clone());
        Ok(Module {
            loaded: Arc::new(Loaded {
                pkcs11,
                path,
                tokens: AtomicUsize::new(0),
                finalized: false,
            }),
        })
    }

    /// The library's canonical path.
    pub fn path(&self) -> &Path {
        &self.loaded.path
    }

    /// Finalises the module now.
    ///
    /// # Errors
    /// [`FinalizeError::InUse`] while tokens are open: drop them first.
    pub fn finalize(self) -> Result<(), FinalizeError> {
        match Arc::try_unwrap(self.loaded) {
            Ok(mut loaded) => Ok(loaded.finalize()?),
            Err(shared) => Err(FinalizeError::InUse(Arc::strong_count(&shared) - 1)),
        }
    }

    /// Every initialised token that answers, in the module's order.
    ///
    /// # Errors
    /// The slot list itself could not be read. A slot that fails alone is logged and left out.
    pub fn tokens(&self) -> Result<Vec<TokenSummary>, CallError> {
        Ok(self
            .loaded
            .tokens()?
            .into_iter()
            .map(|(_, summary)| summary)
            .collect())
    }

    /// Initialises the first uninitialised token with `label`, a security officer PIN and a user PIN.
    ///
    /// # Errors
    /// [`InitializeError`]; a token of that label is never overwritten.
    pub fn initialize_token(
        &self,
        label: &str,
        so_pin: &Pin,
        user_pin: &Pin,
    ) -> Result<TokenSummary, InitializeError> {
        if label.is_empty() || label.len() > 32 {
            return Err(InitializeError::Label(label.to_owned()));
        }
        if self.tokens()?.iter().any(|token| token.label == label) {
            return Err(InitializeError::LabelTaken(label.to_owned()));
        }
        let slot = self
            .loaded
            .uninitialized_slot()?
            .ok_or(InitializeError::NoFreeSlot)?;
        let pkcs11 = &self.loaded.pkcs11;
        pkcs11
            .init_token(slot, so_pin.as_auth_pin(), label)
            .map_err(CallError::from)?;
        let session = pkcs11.open_rw_session(slot).map_err(CallError::from)?;
        session
            .login(UserType::So, Some(so_pin.as_auth_pin()))
            .map_err(CallError::from)?;
        session
            .init_pin(user_pin.as_auth_pin())
            .map_err(CallError::from)?;
        session.logout().map_err(CallError::from)?;
        Ok(self.loaded.summary(slot)?)
    }
}

#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) pkcs11: Pkcs11,
    path: PathBuf,
    /// Tokens opened on it: a new initialisation ends the sessions of all of them.
    tokens: AtomicUsize,
    finalized: bool,
}

impl Loaded {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn token_opened(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn token_closed(&self) {
        self.tokens.fetch_sub(1, Ordering::Relaxed);
    }

    /// `C_Finalize` and `C_Initialize`: the only thing that brings a module back that lost its
    /// device. The caller has closed its sessions and keeps every other thread out of the module.
    pub(crate) fn initialize_again(&self) -> Result<(), CallError> {
        if self.tokens.load(Ordering::Relaxed) > 1 {
            // Another token's sessions would die under it: only new sessions are tried then.
            return Ok(());
        }
        match self.pkcs11.clone().finalize().map_err(CallError::from) {
            Ok(()) => {}
            Err(error) if error.is(RvError::CryptokiNotInitialized) => {}
            Err(error) => tracing::warn!(%error, "a dead module was not finalised"),
        }
        match initialize(&self.pkcs11) {
            Err(error) if error.is(RvError::CryptokiAlreadyInitialized) => Ok(()),
            other => other,
        }
    }

    pub(crate) fn tokens(&self) -> Result<Vec<(Slot, TokenSummary)>, CallError> {
        let mut tokens = Vec::new();
        for slot in self.pkcs11.get_slots_with_token()? {
            match self.pkcs11.get_token_info(slot) {
                Ok(info) if info.token_initialized() => tokens.push((slot, summary_of(&info))),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%slot, error = %CallError::from(error), "token skipped")
                }
            }
        }
        Ok(tokens)
    }

    fn uninitialized_slot(&self) -> Result<Option<Slot>, CallError> {
        for slot in self.pkcs11.get_slots_with_token()? {
            if !self.pkcs11.get_token_info(slot)?.token_initialized() {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn summary(&self, slot: Slot) -> Result<TokenSummary, CallError> {
        Ok(summary_of(&self.pkcs11.get_token_info(slot)?))
    }

    fn finalize(&mut self) -> Result<(), CallError> {
        self.finalized = true;
        let answer = self.pkcs11.clone().finalize();
        LOADED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.path);
        Ok(answer?)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // Without C_Finalize, SoftHSM's destructors run after OpenSSL's at exit and crash.
        if !self.finalized
            && let Err(error) = self.finalize()
        {
            tracing::warn!(%error, "the PKCS#11 module was not finalised");
        }
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), CallError> {
    Ok(pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?)
}

fn summary_of(info: &cryptoki::slot::TokenInfo) -> TokenSummary {
    TokenSummary {
        label: info.label().trim_end().to_owned(),
        serial: info.serial_number().trim_end().to_owned(),
        model: info.model().trim_end().to_owned(),
        manufacturer: info.manufacturer_id().trim_end().to_owned(),
    }
}
