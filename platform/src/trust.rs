use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_issuer_client::{IssuerClient, IssuerClientError};
use obol_verifier_sdk::x509::{AcceptedBundle, BundleRefusal, CertificateRefusal, Root};
use thiserror::Error;

const PEM_MAX: usize = 16 * 1024;
const BUNDLE_MAX: usize = 64 * 1024;

/// The issuer keys the platform believes: those of the last bundle that the pinned root vouched
/// for. A copy on disk lets it take uploads while the issuer is away.
pub(crate) struct TrustKeeper {
    root: Root,
    file: PathBuf,
    accepted: RwLock<Option<Arc<AcceptedBundle>>>,
}

/// Why issuer keys are not believed.
#[derive(Debug, Error, Diagnostic)]
pub enum TrustError {
    /// A file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The root's file holds no root certificate.
    #[error("the pinned root {}: {source}", path.display())]
    #[diagnostic(help("issuer.root is the certificate that the root ceremony wrote"))]
    Root {
        /// The file.
        path: PathBuf,
        /// The broken rule.
        source: CertificateRefusal,
    },
    /// The issuer gave no bundle.
    #[error("no trust bundle from the issuer")]
    #[diagnostic(help("is the issuer up, and this service registered there?"))]
    Issuer(#[source] IssuerClientError),
    /// The pinned root does not vouch for the bundle.
    #[error("the trust bundle is not believed: {0}")]
    #[diagnostic(help("compare the issuer's certificates with the pinned root"))]
    Bundle(BundleRefusal),
}

impl TrustKeeper {
    pub(crate) fn open(root: &Path, file: &Path) -> Result<Self, TrustError> {
        let refused = |source| TrustError::Root {
            path: root.to_owned(),
            source,
        };
        let root = Root::from_pem(&read_limited(root, PEM_MAX)?).map_err(refused)?;
        let keeper = Self {
            root,
            file: file.to_owned(),
            accepted: RwLock::new(None),
        };
        if file.exists() {
            keeper.accept(&read_limited(file, BUNDLE_MAX)?)?;
        }
        Ok(keeper)
    }

    pub(crate) async fn refresh(&self, issuer: &IssuerClient) -> Result<(), TrustError> {
        let bytes = issuer.trust_bundle().await.map_err(TrustError::Issuer)?;
        self.accept(&bytes)?;
        Ok(replace_atomically(&self.file, &bytes, Mode::Public)?)
    }

    /// The keys believed at this moment; `None` before the first bundle.
    pub(crate) fn accepted(&self) -> Option<Arc<AcceptedBundle>> {
        self.accepted
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    fn accept(&self, bytes: &[u8]) -> Result<(), TrustError> {
        let bundle = self.root.accept_bundle(bytes).map_err(TrustError::Bundle)?;
        *self
            .accepted
            .write()
            .expect("no holder of this lock panics") = Some(Arc::new(bundle));
        Ok(())
    }
}
