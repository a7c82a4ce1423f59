use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, read_limited};
use obol_pos_sdk::{
    AcceptedSet, FarePack, Journal, JournalFile, PROVISIONING_MAX, Provisioning, ProvisioningError,
    Root, Terminal, Trust, TrustRefused,
};
use obol_transport::{Identity, IdentityError, TrustAnchor};
use thiserror::Error;

use crate::trust;

const PEM_MAX: usize = 64 * 1024;
const BUNDLE_FILE_MAX: usize = 64 * 1024;
const FARES_FILE_MAX: usize = 64 * 1024;

/// A terminal's folder: where everything of one terminal lies.
pub(crate) struct Folder {
    path: PathBuf,
}

/// Why the folder does not make a terminal.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum FolderError {
    #[error("{} is not UTF-8", path.display())]
    #[diagnostic(help("give a text file"))]
    NotText { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Provisioning {
        path: PathBuf,
        #[source]
        #[diagnostic_source]
        source: ProvisioningError,
    },
    #[error("{} does not hold the root's certificate: {reason}", path.display())]
    #[diagnostic(help("give root.pem, the root CA's certificate of this deployment"))]
    Root { path: PathBuf, reason: String },
    #[error("this terminal has no trust bundle yet")]
    #[diagnostic(help("run `obol-pos --dir {} sync` while the issuer is reachable", dir.display()))]
    NoTrust { dir: PathBuf },
    #[error("cannot use the stored trust bundle {}", path.display())]
    Trust {
        path: PathBuf,
        #[source]
        #[diagnostic_source]
        source: TrustRefused,
    },
    #[error("the stored fare pack {} is malformed: {reason}", path.display())]
    #[diagnostic(help("run `sync` again to replace it"))]
    Fares { path: PathBuf, reason: String },
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn provisioning(&self) -> miette::Result<Provisioning> {
        let path = self.path.join("terminal.toml");
        let text = read_text(&path, PROVISIONING_MAX)?;
        let read = Provisioning::parse(&text, &self.path);
        Ok(read.map_err(|source| FolderError::Provisioning { path, source })?)
    }

    /// Everything a scan needs; nothing of it touches a network.
    pub(crate) fn terminal(&self, provisioning: &Provisioning) -> miette::Result<Terminal> {
        let no_trust = || FolderError::NoTrust {
            dir: self.path.clone(),
        };
        let journal = Journal::open(&self.journal_path(), &provisioning.terminal)?;
        let rules = provisioning.rules;
        if provisioning.repository.is_some() {
            let set = trust::accepted(self, provisioning)?.ok_or_else(no_trust)?;
            let fares = self.fares_of(provisioning, &set)?;
            return Ok(Terminal::new(rules, set.state, fares, journal)?);
        }
        let trust = self.trust(provisioning)?.ok_or_else(no_trust)?;
        Ok(Terminal::new(rules, trust, self.fares()?, journal)?)
    }

    /// The journal, to look at and to upload from, beside the process that takes rides.
    pub(crate) fn journal(&self, provisioning: &Provisioning) -> miette::Result<JournalFile> {
        let path = self.journal_path();
        Ok(JournalFile::open(&path, &provisioning.terminal)?)
    }

    pub(crate) fn root(&self, provisioning: &Provisioning) -> miette::Result<Root> {
        let path = &provisioning.root;
        let read = Root::from_pem(&read_limited(path, PEM_MAX)?);
        Ok(read.map_err(|refused| FolderError::Root {
            path: path.clone(),
            reason: refused.to_string(),
        })?)
    }

    /// The stored trust bundle, proved again by the pinned root.
    pub(crate) fn trust(&self, provisioning: &Provisioning) -> miette::Result<Option<Trust>> {
        let path = self.trust_path();
        let Some(bytes) = read_if_there(&path, BUNDLE_FILE_MAX)? else {
            return Ok(None);
        };
        let trust = Trust::from_bundle(&bytes, &self.root(provisioning)?)
            .map_err(|source| FolderError::Trust { path, source })?;
        Ok(Some(trust))
    }

    pub(crate) fn fares(&self) -> miette::Result<Option<FarePack>> {
        let path = self.fares_path();
        let Some(bytes) = read_if_there(&path, FARES_FILE_MAX)? else {
            return Ok(None);
        };
        let fares = FarePack::decode(&bytes).map_err(|malformed| FolderError::Fares {
            path,
            reason: malformed.to_string(),
        })?;
        Ok(Some(fares))
    }

    /// The operator's fare pack of the repository; without one there, that of the platform.
    pub(crate) fn fares_of(
        &self,
        provisioning: &Provisioning,
        set: &AcceptedSet,
    ) -> miette::Result<Option<FarePack>> {
        let path = format!("fares/{}.cbor", provisioning.rules.operator.as_str());
        let Some(bytes) = set.fares.get(&path) else {
            return self.fares();
        };
        let fares = FarePack::decode(bytes).map_err(|malformed| FolderError::Fares {
            path: path.into(),
            reason: malformed.to_string(),
        })?;
        Ok(Some(fares))
    }

    pub(crate) fn repository_path(&self) -> PathBuf {
        self.path.join("trust")
    }

    pub(crate) fn journal_path(&self) -> PathBuf {
        self.path.join("journal.sqlite")
    }

    pub(crate) fn trust_path(&self) -> PathBuf {
        self.path.join("trust-bundle.cbor")
    }

    pub(crate) fn fares_path(&self) -> PathBuf {
        self.path.join("fare-pack.cbor")
    }

    pub(crate) fn request_path(&self) -> PathBuf {
        self.path.join("terminal.csr")
    }
}

/// What mutual TLS needs: whom to believe, and who the terminal is.
pub(crate) fn credentials(
    provisioning: &Provisioning,
) -> Result<(TrustAnchor, Identity), IdentityError> {
    let anchor = TrustAnchor::load(&provisioning.access)?;
    let identity = Identity::load(&provisioning.certificate, &provisioning.key)?;
    Ok((anchor, identity))
}

pub(crate) fn read_text(path: &Path, limit: usize) -> miette::Result<String> {
    let bytes = read_limited(path, limit)?;
    let path = path.to_owned();
    Ok(String::from_utf8(bytes).map_err(|_| FolderError::NotText { path })?)
}

fn read_if_there(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, FileError> {
    match read_limited(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(FileError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
