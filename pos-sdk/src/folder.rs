//! A terminal's folder: where everything of one terminal lies, whoever runs it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use obol_credential::UnixTime;
use obol_fare::FarePack;
use obol_tap::{Epoch, TrustHealth};
use obol_trust::tuf::{Limits, P256};
use obol_verifier_sdk::x509::Root;
use thiserror::Error;

use crate::{
    AcceptedSet, Belief, Invitation, Journal, JournalError, JournalFile, PROVISIONING_MAX,
    Provisioning, ProvisioningError, Refreshes, Terminal, Trust, TrustFolder, TrustRefused,
    TrustUpdater, UpdateError,
    trust::{read_limited, replace},
};

const PEM_MAX: usize = 64 * 1024;
const BUNDLE_FILE_MAX: usize = 64 * 1024;
const FARES_FILE_MAX: usize = 64 * 1024;
const KEY_FILE_MAX: usize = 16 * 1024;
const TRUST_ROOT_MAX: usize = 1024 * 1024;
const TRUST_FILE: &str = "trust-bundle.cbor";
const FARES_FILE: &str = "fare-pack.cbor";

/// A terminal's folder: provisioning file, journal, trust and fares.
#[derive(Clone, Debug)]
pub struct TerminalFolder {
    path: PathBuf,
}

/// Why the folder does not make a terminal.
#[derive(Debug, Error, Diagnostic)]
pub enum FolderError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    #[diagnostic(help(
        "check the path, its rights and that the file is not larger than it may be"
    ))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be stored. The one before stays.
    #[error("cannot store {}", path.display())]
    #[diagnostic(help("check the folder, its rights and the disk's room"))]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not text.
    #[error("{} is not UTF-8", path.display())]
    #[diagnostic(help("give a text file"))]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The provisioning file is none.
    #[error("cannot use {}", path.display())]
    Provisioning {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        #[diagnostic_source]
        source: ProvisioningError,
    },
    /// The root's certificate is none.
    #[error("{} does not hold the root's certificate: {reason}", path.display())]
    #[diagnostic(help("give root.pem, the root CA's certificate of this deployment"))]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nothing to believe has come yet.
    #[error("this terminal has no trust bundle yet")]
    #[diagnostic(help("run `obol-pos --dir {} sync` while the issuer is reachable", dir.display()))]
    NoTrust {
        /// The folder.
        dir: PathBuf,
    },
    /// The trust bundle is not believed.
    #[error("cannot use the stored trust bundle {}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        #[diagnostic_source]
        source: TrustRefused,
    },
    /// A trust bundle that has just come is not believed. The stored one stays.
    #[error("the trust bundle is not taken")]
    TrustOffered(
        #[source]
        #[diagnostic_source]
        TrustRefused,
    ),
    /// What the last update of the repository left is not believed.
    #[error("cannot use the stored set of the trust repository")]
    #[diagnostic(help("run `sync` again to replace it"))]
    Accepted(#[source] UpdateError<std::convert::Infallible>),
    /// A fare pack that has just come is malformed. The stored one stays.
    #[error("the fare pack is malformed: {0}")]
    #[diagnostic(help("tell the platform's operator"))]
    FaresOffered(String),
    /// The fare pack is malformed.
    #[error("the stored fare pack {} is malformed: {reason}", path.display())]
    #[diagnostic(help("run `sync` again to replace it"))]
    Fares {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file for another terminal.
    #[error("the provisioning file is for {found}, and this terminal is {expected}")]
    #[diagnostic(help("each terminal has a file of its own"))]
    AnotherTerminal {
        /// Whom the file is for.
        found: String,
        /// Who the folder is.
        expected: String,
    },
    /// Whom to believe is decided once.
    #[error("the provisioning file names another authority than {}", path.display())]
    #[diagnostic(help("remove that file if the deployment has changed its authority"))]
    AnotherAuthority {
        /// What was believed before.
        path: PathBuf,
    },
    /// The trust root is not signed by its own keys.
    #[error("the trust root of the provisioning file is refused")]
    #[diagnostic(help("ask the issuer's operator for a new one: obol-issuer enrolment-code"))]
    TrustRoot(#[source] UpdateError<std::convert::Infallible>),
    /// The journal.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Journal(#[from] JournalError),
}

impl TerminalFolder {
    /// A folder that exists.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads `terminal.toml`.
    ///
    /// # Errors
    /// [`FolderError::Provisioning`] and what keeps the file from being read.
    pub fn provisioning(&self) -> Result<Provisioning, FolderError> {
        let path = self.path.join("terminal.toml");
        let text = text(&path, PROVISIONING_MAX)?;
        let read = Provisioning::parse(&text, &self.path);
        read.map_err(|source| FolderError::Provisioning { path, source })
    }

    /// Makes a terminal of the folder: `terminal.toml` where there is none, and whom to believe from
    /// now on. Repeated, it changes nothing; a file that is there already says the same.
    ///
    /// # Errors
    /// [`FolderError::AnotherTerminal`], [`FolderError::AnotherAuthority`],
    /// [`FolderError::TrustRoot`] and what keeps files from being read and written.
    pub fn begin(&self, invitation: &Invitation) -> Result<Provisioning, FolderError> {
        let own = self.path.join("terminal.toml");
        if !own.exists() {
            make_folder(&self.path)?;
            self.store("terminal.toml", invitation.provisioning().as_bytes())?;
        }
        let provisioning = self.provisioning()?;
        if provisioning.terminal != invitation.terminal {
            return Err(FolderError::AnotherTerminal {
                found: invitation.terminal.as_str().to_owned(),
                expected: provisioning.terminal.as_str().to_owned(),
            });
        }
        pin(&provisioning.access, invitation.access_ca())?;
        pin(&provisioning.root, invitation.root_ca())?;
        if let (Some(repository), Some(root)) = (&provisioning.repository, invitation.trust_root())
        {
            let taken = self.updater()?.initialise(root.as_bytes());
            taken.map_err(FolderError::TrustRoot)?;
            pin(&repository.root, root)?;
        }
        Ok(provisioning)
    }

    /// Everything a scan needs; nothing of it touches a network.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn terminal(&self, provisioning: &Provisioning) -> Result<Terminal, FolderError> {
        let no_trust = || FolderError::NoTrust {
            dir: self.path.clone(),
        };
        let journal = Journal::open(&self.journal_path(), &provisioning.terminal)?;
        let rules = provisioning.rules;
        if provisioning.repository.is_some() {
            let set = self.accepted(provisioning)?.ok_or_else(no_trust)?;
            let fares = self.fares_of(provisioning, &set)?;
            return Ok(Terminal::new(rules, set.state, fares, journal)?);
        }
        let trust = self.trust(provisioning)?.ok_or_else(no_trust)?;
        Ok(Terminal::new(rules, trust, self.fares()?, journal)?)
    }

    /// How fresh what is stored is, for a report; nothing is changed.
    #[must_use]
    pub fn trust_health(&self, provisioning: &Provisioning, now: UnixTime) -> TrustHealth {
        let belief = match provisioning.repository {
            Some(_) => self
                .accepted(provisioning)
                .map(|set| set.map(|set| Belief::from(set.state))),
            None => self
                .trust(provisioning)
                .map(|trust| trust.map(Belief::from)),
        };
        match belief.ok().flatten().map(|belief| belief.freshness(now)) {
            Some(freshness) => freshness.into(),
            None => TrustHealth::Missing,
        }
    }

    /// When news came from the trust repository, for a report; nothing of a terminal without one.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn refreshes(&self, provisioning: &Provisioning) -> Result<Refreshes, FolderError> {
        if provisioning.repository.is_none() {
            return Ok(Refreshes::default());
        }
        let refreshes = self.reader().refreshes();
        refreshes.map_err(|source| FolderError::Read {
            path: self.repository_path(),
            source,
        })
    }

    /// Makes the journal, or opens the one that is there. `epoch` is 64 random bits.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn make_journal(
        &self,
        provisioning: &Provisioning,
        epoch: Epoch,
    ) -> Result<Journal, JournalError> {
        let (path, terminal) = (self.journal_path(), &provisioning.terminal);
        match Journal::create(&path, terminal, epoch) {
            Err(JournalError::Exists { .. }) => Journal::open(&path, terminal),
            made => made,
        }
    }

    /// The journal, to look at and to upload from, beside the process that takes rides.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn journal(&self, provisioning: &Provisioning) -> Result<JournalFile, JournalError> {
        JournalFile::open(&self.journal_path(), &provisioning.terminal)
    }

    /// The pinned root.
    ///
    /// # Errors
    /// [`FolderError::Root`] and what keeps the file from being read.
    pub fn root(&self, provisioning: &Provisioning) -> Result<Root, FolderError> {
        let path = &provisioning.root;
        let read = Root::from_pem(&read(path, PEM_MAX)?);
        read.map_err(|refused| FolderError::Root {
            path: path.clone(),
            reason: refused.to_string(),
        })
    }

    /// The terminal's key, as it stands in its file.
    ///
    /// # Errors
    /// What keeps the file from being read; what stands in it is not repeated.
    pub fn key(&self, provisioning: &Provisioning) -> Result<String, FolderError> {
        text(&provisioning.key, KEY_FILE_MAX)
    }

    /// The first root of the trust repository, where the deployment has one.
    ///
    /// # Errors
    /// What keeps the file from being read.
    pub fn first_trust_root(
        &self,
        provisioning: &Provisioning,
    ) -> Result<Option<Vec<u8>>, FolderError> {
        let repository = provisioning.repository.as_ref();
        repository
            .map(|r| read(&r.root, TRUST_ROOT_MAX))
            .transpose()
    }

    /// The stored trust bundle, proved again by the pinned root.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn trust(&self, provisioning: &Provisioning) -> Result<Option<Trust>, FolderError> {
        let path = self.trust_path();
        let Some(bytes) = read_if_there(&path, BUNDLE_FILE_MAX)? else {
            return Ok(None);
        };
        let trust = Trust::from_bundle(&bytes, &self.root(provisioning)?);
        let trust = trust.map_err(|source| FolderError::Trust { path, source });
        trust.map(Some)
    }

    /// Believes a trust bundle that has just come, and keeps it, whole or not at all. A stored one
    /// that is no good keeps no good one out.
    ///
    /// # Errors
    /// [`FolderError`]: what is stored stays.
    pub fn take_trust(
        &self,
        bytes: &[u8],
        provisioning: &Provisioning,
        now: UnixTime,
    ) -> Result<Trust, FolderError> {
        let trust = Trust::from_bundle(bytes, &self.root(provisioning)?);
        let trust = trust.map_err(FolderError::TrustOffered)?;
        let in_use = self.trust(provisioning).ok().flatten();
        let refused = FolderError::TrustOffered;
        trust.may_replace(in_use.as_ref(), now).map_err(refused)?;
        self.store(TRUST_FILE, bytes)?;
        Ok(trust)
    }

    /// The stored fare pack.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn fares(&self) -> Result<Option<FarePack>, FolderError> {
        let path = self.fares_path();
        let bytes = read_if_there(&path, FARES_FILE_MAX)?;
        bytes.map(|bytes| fare_pack(&bytes, path)).transpose()
    }

    /// Takes a fare pack that has just come, and keeps it, whole or not at all.
    ///
    /// # Errors
    /// [`FolderError`]: what is stored stays.
    pub fn take_fares(&self, bytes: &[u8]) -> Result<FarePack, FolderError> {
        let fares = FarePack::decode(bytes);
        let fares = fares.map_err(|malformed| FolderError::FaresOffered(malformed.to_string()))?;
        self.store(FARES_FILE, bytes)?;
        Ok(fares)
    }

    /// What the last complete update of the trust repository left; no network.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn accepted(
        &self,
        provisioning: &Provisioning,
    ) -> Result<Option<AcceptedSet>, FolderError> {
        let root = self.root(provisioning)?;
        let accepted = self.reader().accepted(&root);
        accepted.map_err(FolderError::Accepted)
    }

    /// The terminal's own follower of its trust repository.
    ///
    /// # Errors
    /// [`FolderError::Store`] when its folder cannot be made.
    pub fn updater(&self) -> Result<TrustUpdater<TrustFolder, P256>, FolderError> {
        let path = self.repository_path();
        make_folder(&path)?;
        Ok(self.reader())
    }

    fn reader(&self) -> TrustUpdater<TrustFolder, P256> {
        let storage = TrustFolder::new(&self.repository_path());
        TrustUpdater::new(storage, Limits::TERMINAL, P256)
    }

    /// The operator's fare pack of the repository; without one there, that of the platform.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn fares_of(
        &self,
        provisioning: &Provisioning,
        set: &AcceptedSet,
    ) -> Result<Option<FarePack>, FolderError> {
        let path = format!("fares/{}.cbor", provisioning.rules.operator.as_str());
        match set.fares.get(&path) {
            Some(bytes) => fare_pack(bytes, path.into()).map(Some),
            None => self.fares(),
        }
    }

    /// Where the repository's metadata and files are kept.
    #[must_use]
    pub fn repository_path(&self) -> PathBuf {
        self.path.join("trust")
    }

    /// The file that changes when an update of the repository is complete.
    #[must_use]
    pub fn accepted_path(&self) -> PathBuf {
        self.repository_path().join("accepted-set")
    }

    /// The journal.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.sqlite")
    }

    /// The trust bundle, where there is no repository.
    #[must_use]
    pub fn trust_path(&self) -> PathBuf {
        self.path.join(TRUST_FILE)
    }

    /// The platform's fare pack.
    #[must_use]
    pub fn fares_path(&self) -> PathBuf {
        self.path.join(FARES_FILE)
    }

    /// The request for the terminal's certificate.
    #[must_use]
    pub fn request_path(&self) -> PathBuf {
        self.path.join("terminal.csr")
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        replace(&mut TrustFolder::new(&self.path), name, bytes)
            .map_err(|source| FolderError::Store { path, source })
    }
}

/// Its name outlives a power cut when this returns: with it goes what must not be turned back.
fn make_folder(path: &Path) -> Result<(), FolderError> {
    let made = || {
        fs::create_dir_all(path)?;
        match path.canonicalize()?.parent() {
            Some(around) => fs::File::open(around)?.sync_all(),
            None => Ok(()),
        }
    };
    made().map_err(|source| FolderError::Store {
        path: path.to_owned(),
        source,
    })
}

/// Writes down whom to believe, or finds that it is the same as before.
fn pin(path: &Path, text: &str) -> Result<(), FolderError> {
    let Some(pinned) = read_if_there(path, TRUST_ROOT_MAX)? else {
        let name = path.file_name().and_then(|name| name.to_str());
        let folder = path.parent().unwrap_or(Path::new(""));
        let source = io::ErrorKind::InvalidFilename.into();
        let stored = match name {
            Some(name) => replace(&mut TrustFolder::new(folder), name, text.as_bytes()),
            None => Err(source),
        };
        let path = path.to_owned();
        return stored.map_err(|source| FolderError::Store { path, source });
    };
    if pinned.trim_ascii() == text.as_bytes().trim_ascii() {
        Ok(())
    } else {
        let path = path.to_owned();
        Err(FolderError::AnotherAuthority { path })
    }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FolderError> {
    let bytes = read_if_there(path, limit)?;
    bytes.ok_or_else(|| FolderError::Read {
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })
}

fn read_if_there(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, FolderError> {
    read_limited(path, limit).map_err(|source| FolderError::Read {
        path: path.to_owned(),
        source,
    })
}

fn text(path: &Path, limit: usize) -> Result<String, FolderError> {
    let bytes = read(path, limit)?;
    let path = path.to_owned();
    String::from_utf8(bytes).map_err(|_| FolderError::NotText { path })
}

fn fare_pack(bytes: &[u8], path: PathBuf) -> Result<FarePack, FolderError> {
    FarePack::decode(bytes).map_err(|malformed| FolderError::Fares {
        path,
        reason: malformed.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_around_a_new_one_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("a")).unwrap();
        // The kernel refuses to sync what has no medium: the sync was asked for.
        let Err(FolderError::Store { source, .. }) = make_folder(Path::new("/proc/self")) else {
            panic!("it has a medium")
        };
        assert_eq!(source.kind(), io::ErrorKind::InvalidInput);
    }
}
