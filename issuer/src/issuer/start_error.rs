use std::path::PathBuf;

use miette::Diagnostic;
use obol_credential::UnixTime;
use obol_kms_client::{KmsError, SpkiId};
use obol_trust::BundleRefused;
use thiserror::Error;

use crate::access::AccessError;
use crate::certificate::CertificateError;
use crate::publisher::PublishError;
use crate::register::RegisterError;

/// Why the issuer does not start, or does not take a changed configuration.
#[derive(Debug, Error, Diagnostic)]
pub enum StartError {
    /// A certificate cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Certificate(#[from] CertificateError),
    /// The register cannot be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Register(#[from] RegisterError),
    /// The access CA cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Access(#[from] AccessError),
    /// What issuers that publish share cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Shared(#[from] PublishError),
    /// The key management daemon does not answer.
    #[error("the key management daemon at {} cannot be asked", socket.display())]
    #[diagnostic(help(
        "start `obol-kms serve` first, and check `kms_socket` in the configuration"
    ))]
    Kms {
        /// Its socket.
        socket: PathBuf,
        /// What went wrong.
        source: KmsError,
    },
    /// The certificate is of a key that the daemon does not serve, or of another algorithm.
    #[error("{} is of key {spki}, which the key management daemon does not serve", path.display())]
    #[diagnostic(help(
        "give the certificate of a key that `obol-kms serve` is configured to serve"
    ))]
    KeyMismatch {
        /// The certificate.
        path: PathBuf,
        /// Its key.
        spki: SpkiId,
    },
    /// The certificate does not cover now.
    #[error("{} is good from {not_before} to {not_after}, and now is {now}", path.display())]
    #[diagnostic(help("give a certificate that is in force, and check this machine's clock"))]
    NotInForce {
        /// The certificate.
        path: PathBuf,
        /// First second at which it is good.
        not_before: UnixTime,
        /// Last second at which it is good.
        not_after: UnixTime,
        /// This machine's time.
        now: UnixTime,
    },
    /// A configured class is outside the certificate's scope.
    #[error("class {class} is outside the scope of {}", path.display())]
    #[diagnostic(help("remove the class, or have a certificate issued whose scope has it"))]
    ClassOutOfScope {
        /// The class.
        class: u8,
        /// The certificate.
        path: PathBuf,
    },
    /// Terminals could not use the certificate's key or scope.
    #[error("{} has a scope or a key that no terminal takes", path.display())]
    #[diagnostic(help("have the root issue the certificate again"))]
    Unusable {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificates do not make a bundle.
    #[error("the certificates make no trust bundle")]
    #[diagnostic(help("check `keys` in the configuration: each key once, at most 64"))]
    Bundle(#[source] BundleRefused),
    /// Something that only a start can change.
    #[error("{0} has changed, which takes a restart")]
    #[diagnostic(help("restart the service, or put the old value back"))]
    NeedsRestart(&'static str),
}
