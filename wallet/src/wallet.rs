mod state;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically, write_new_atomically};
use obol_credential::{Nonce, UnixTime};
use obol_transport::{IdentityError, TrustAnchor};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::code::BoardingCode;
use crate::held::{HeldCredential, PresentError};
use crate::key::{Key, KeyError};
use crate::platform::{Passenger, Platform};
use state::State;

const STATE_FILE: &str = "wallet.json";
const TRUST_FILE: &str = "access.pem";
const LOCK_FILE: &str = "lock";
const FILE_MAX: usize = 64 * 1024;

/// Why the wallet's folder cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum WalletError {
    /// Reading or writing failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The folder or its lock cannot be made.
    #[error("cannot use the folder {}", folder.display())]
    #[diagnostic(help("give a folder that you may write to as --dir"))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no wallet in the folder.
    #[error("there is no wallet in {}", .0.display())]
    #[diagnostic(help(
        "make one: `obol-wallet --dir DIR enrol --platform URL --trust access.pem`"
    ))]
    None(PathBuf),
    /// The folder belongs to another platform.
    #[error("{} belongs to {platform}", folder.display())]
    #[diagnostic(help("give another folder as --dir: a wallet has one platform"))]
    OtherPlatform {
        /// The folder.
        folder: PathBuf,
        /// The platform it was made for.
        platform: String,
    },
    /// The file is not what a wallet wrote.
    #[error("{} is damaged: {what}", path.display())]
    #[diagnostic(help("restore the folder from a copy, or enrol anew in another folder"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Enrolment was begun and has no account yet.
    #[error("the wallet has no account yet")]
    #[diagnostic(help("run `enrol` again: it goes on where it stopped"))]
    NotEnrolled,
    /// No credential was fetched yet.
    #[error("the wallet holds no credential")]
    #[diagnostic(help("go online and fetch one: `obol-wallet refresh`"))]
    NoCredential,
    /// The code cannot be made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Present(#[from] PresentError),
    /// The CA's certificate cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trust(#[from] IdentityError),
    /// No key could be drawn.
    #[error(transparent)]
    #[diagnostic(help("check the machine's source of randomness"))]
    Key(#[from] KeyError),
}

/// A wallet in a folder, held by one process at a time.
#[derive(Debug)]
pub struct Wallet {
    folder: PathBuf,
    state: State,
    _lock: File,
}

impl Wallet {
    /// Makes a wallet with a fresh enrolled key, or opens the one that an earlier, interrupted
    /// enrolment left there. `trust` is copied into the folder.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn create(folder: &Path, platform: &str, trust: &Path) -> Result<Self, WalletError> {
        if folder.join(STATE_FILE).exists() {
            return Self::reopen(folder, platform, lock(folder)?);
        }
        TrustAnchor::load(trust)?;
        let trust = read_limited(trust, FILE_MAX)?;
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(folder_error(folder))?;
        let lock = lock(folder)?;
        // Asked again: while this process waited for the lock, another may have enrolled a key.
        if folder.join(STATE_FILE).exists() {
            return Self::reopen(folder, platform, lock);
        }
        replace_atomically(&folder.join(TRUST_FILE), &trust, Mode::Private)?;
        let state = State::new(platform, Key::generate()?);
        write_new_atomically(&folder.join(STATE_FILE), &state.to_json(), Mode::Private)?;
        Ok(Self {
            folder: folder.to_owned(),
            state,
            _lock: lock,
        })
    }

    fn reopen(folder: &Path, platform: &str, lock: File) -> Result<Self, WalletError> {
        let wallet = Self::read(folder, lock)?;
        if wallet.state.platform != platform {
            let (folder, platform) = (folder.to_owned(), wallet.state.platform);
            return Err(WalletError::OtherPlatform { folder, platform });
        }
        Ok(wallet)
    }

    /// Opens a wallet; waits while another process holds it.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn open(folder: &Path) -> Result<Self, WalletError> {
        if !folder.join(STATE_FILE).exists() {
            return Err(WalletError::None(folder.to_owned()));
        }
        Self::read(folder, lock(folder)?)
    }

    fn read(folder: &Path, lock: File) -> Result<Self, WalletError> {
        let path = folder.join(STATE_FILE);
        let bytes = Zeroizing::new(read_limited(&path, FILE_MAX)?);
        let state = State::parse(&bytes).map_err(|what| WalletError::Damaged { path, what })?;
        Ok(Self {
            folder: folder.to_owned(),
            state,
            _lock: lock,
        })
    }

    /// The platform's API, signed for by the enrolled key; `clock` gives seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`WalletError::Trust`].
    pub fn platform(&self, clock: fn() -> u32) -> Result<Platform<'_>, WalletError> {
        let anchor = TrustAnchor::load(&self.folder.join(TRUST_FILE))?;
        Ok(Platform::new(
            &self.state.platform,
            &anchor,
            &self.state.enrolled_key,
            clock,
        ))
    }

    /// The account, once enrolled.
    ///
    /// # Errors
    /// [`WalletError::NotEnrolled`].
    pub fn passenger(&self) -> Result<&Passenger, WalletError> {
        self.state
            .passenger
            .as_ref()
            .ok_or(WalletError::NotEnrolled)
    }

    /// Keeps the account that the platform opened.
    ///
    /// # Errors
    /// [`WalletError::File`].
    pub fn enrolled(&mut self, passenger: Passenger) -> Result<(), WalletError> {
        self.state.passenger = Some(passenger);
        self.save()
    }

    /// Whether the credential that is held is one of those that the platform says have to be
    /// renewed, by cti in hexadecimal: the key that signed it is blocked, and terminals refuse it.
    #[must_use]
    pub fn has_to_renew(&self, told: &[String]) -> bool {
        let held = self.state.credential.as_ref();
        held.is_some_and(|held| told.contains(&HEXLOWER.encode(&held.cti().0)))
    }

    /// Keeps a credential in the place of the one before.
    ///
    /// # Errors
    /// [`WalletError::File`].
    pub fn hold(&mut self, credential: HeldCredential) -> Result<(), WalletError> {
        self.state.credential = Some(credential);
        self.save()
    }

    /// Makes the next boarding code and saves the counter before the code is handed out.
    ///
    /// # Errors
    /// [`WalletError`]; without a saved counter there is no code.
    pub fn present(&mut self, now: UnixTime, nonce: Nonce) -> Result<BoardingCode, WalletError> {
        let held = self
            .state
            .credential
            .as_mut()
            .ok_or(WalletError::NoCredential)?;
        let code = held.present(now, nonce)?;
        self.save()?;
        Ok(code)
    }

    fn save(&self) -> Result<(), WalletError> {
        let path = self.folder.join(STATE_FILE);
        Ok(replace_atomically(
            &path,
            &self.state.to_json(),
            Mode::Private,
        )?)
    }
}

/// Two processes at once would use one count twice.
fn lock(folder: &Path) -> Result<File, WalletError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options
        .open(folder.join(LOCK_FILE))
        .map_err(folder_error(folder))?;
    file.lock().map_err(folder_error(folder))?;
    Ok(file)
}

fn folder_error(folder: &Path) -> impl FnOnce(io::Error) -> WalletError + '_ {
    |source| WalletError::Folder {
        folder: folder.to_owned(),
        source,
    }
}
