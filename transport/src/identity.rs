use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::Diagnostic;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::anchor::AnchorRefused;
use crate::peer::{Peer, PeerError, spki_id};
use crate::tls::provider;

/// Why an identity or a trust anchor cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum IdentityError {
    /// The file cannot be read as PEM of the expected kind.
    #[error("cannot read {what} from {}", path.display())]
    #[diagnostic(help(
        "give a PEM file; certificates come from the access CA, keys from `new_identity`"
    ))]
    Unreadable {
        /// What was looked for.
        what: &'static str,
        /// The file that was asked for.
        path: PathBuf,
        /// What the PEM reader said.
        source: pem::Error,
    },
    /// The certificate file holds nothing, or the anchor file more than it may.
    #[error("{} holds {found} certificates", path.display())]
    #[diagnostic(help(
        "give 1 to 4 CA certificates, or for an identity one followed by its chain"
    ))]
    WrongCount {
        /// The file that was asked for.
        path: PathBuf,
        /// How many certificates it holds.
        found: usize,
    },
    /// Key and certificate do not belong together, or the key is of a kind TLS 1.3 does not know.
    #[error("the key {} does not serve the certificate {}", key.display(), certificate.display())]
    #[diagnostic(help("give the key that was made with this certificate's request"))]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The anchor holds a certificate that is none of an access CA.
    #[error("{} is not that of access CAs: {source}", path.display())]
    #[diagnostic(help("give the access CA's certificate, access.pem, or several in one file"))]
    BadAnchor {
        /// The anchor's file.
        path: PathBuf,
        /// Which certificate, and what is wrong with it.
        source: AnchorRefused,
    },
    /// The revocation list cannot be used.
    #[error("{} does not hold the lists of these CAs: {reason}", path.display())]
    #[diagnostic(help("give the last list of each access CA that is trusted, PEM"))]
    BadList {
        /// The list's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate does not parse as X.509.
    #[error("{} is no usable certificate", path.display())]
    #[diagnostic(help("give the certificate that the access CA issued"))]
    BadCertificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: PeerError,
    },
    /// The URI asked for in a certificate request names no member of a deployment.
    #[error("{0:?} is not obol://ROLE/NAME")]
    #[diagnostic(help("give a name of 1 to 32 characters of a-z 0-9 -"))]
    BadUri(String),
    /// A name asked for in a certificate request is not possible.
    #[error("cannot request a certificate for {name:?}")]
    #[diagnostic(help(
        "give a URI like obol://issuer/main and DNS names or IP addresses in ASCII"
    ))]
    BadName {
        /// The name as it was given.
        name: String,
        /// What the X.509 library said.
        source: rcgen::Error,
    },
}

/// A certificate chain with its private key, checked to belong together.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    spki: [u8; 32],
}

impl Identity {
    /// Loads a PEM certificate chain, leaf first, and its PKCS#8 PEM key.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = certificates(certificate)?;
        let leaf = chain.first().ok_or(wrong_count(certificate, 0))?;
        let spki = spki_id(leaf).map_err(|source| IdentityError::BadCertificate {
            path: certificate.to_owned(),
            source,
        })?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(unreadable("a private key", key))?;
        let certified = CertifiedKey::from_der(chain, private, provider()).map_err(|source| {
            let (certificate, key) = (certificate.to_owned(), key.to_owned());
            IdentityError::KeyMismatch {
                certificate,
                key,
                source,
            }
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            spki,
        })
    }

    /// SHA-256 of the certificate's DER SubjectPublicKeyInfo: what stands in the other side's
    /// register.
    #[must_use]
    pub fn spki(&self) -> [u8; 32] {
        self.spki
    }
}

/// Shows the public key's id and nothing of the private one.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("spki", &self.spki)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// Reads the identity that a PEM certificate file names, for a register.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let found = certificates(path)?;
        let leaf = found.first().ok_or(wrong_count(path, 0))?;
        Self::from_certificate(leaf).map_err(|source| IdentityError::BadCertificate {
            path: path.to_owned(),
            source,
        })
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(unreadable("certificates", path))
}

fn unreadable<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(pem::Error) -> IdentityError + 'a {
    move |source| IdentityError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn wrong_count(path: &Path, found: usize) -> IdentityError {
    IdentityError::WrongCount {
        path: path.to_owned(),
        found,
    }
}
