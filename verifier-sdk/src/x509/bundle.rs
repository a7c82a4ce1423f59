use std::vec::Vec;

use obol_credential::{Kid, Malformed, UnixTime};
use obol_trust::{Entry, TrustBundle};

use super::{CertificateRefusal, Root};
use crate::IssuerKey;

/// A trust bundle each of whose keys the pinned root has certified, field by field.
#[derive(Clone, Debug)]
pub struct AcceptedBundle {
    issued_at: UnixTime,
    expires_at: UnixTime,
    keys: Vec<IssuerKey>,
}

/// Why a trust bundle is not believed; nothing of it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleRefusal {
    /// The bytes are not a trust bundle.
    Format(Malformed),
    /// An entry's certificate breaks a rule.
    Certificate(Kid, CertificateRefusal),
    /// An entry says something else than its certificate.
    Mismatch(Kid, &'static str),
}

impl core::fmt::Display for BundleRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Format(refused) => write!(f, "not a trust bundle: {refused}"),
            Self::Certificate(kid, refusal) => write!(f, "key {kid}: {refusal}"),
            Self::Mismatch(kid, field) => {
                write!(f, "key {kid}: the {field} is not that of its certificate")
            }
        }
    }
}

impl core::error::Error for BundleRefusal {}

impl Root {
    /// Believes a trust bundle, or nothing of it.
    ///
    /// # Errors
    /// [`BundleRefusal`] for the first entry that the pinned root does not vouch for.
    pub fn accept_bundle(&self, bytes: &[u8]) -> Result<AcceptedBundle, BundleRefusal> {
        let bundle = TrustBundle::decode(bytes).map_err(BundleRefusal::Format)?;
        let keys: Result<_, _> = bundle
            .entries()
            .iter()
            .map(|e| self.accept_entry(e))
            .collect();
        let (issued_at, expires_at) = (bundle.issued_at(), bundle.expires_at());
        Ok(AcceptedBundle {
            issued_at,
            expires_at,
            keys: keys?,
        })
    }

    fn accept_entry(&self, entry: &Entry<'_>) -> Result<IssuerKey, BundleRefusal> {
        let key = self
            .issuer_key(entry.certificate)
            .map_err(|refusal| BundleRefusal::Certificate(entry.kid, refusal))?;
        let fields = [
            ("kid", key.kid() == entry.kid),
            ("algorithm", key.algorithm() == entry.algorithm),
            ("public key", key.point().is(entry.point)),
            ("start", key.validity.not_before == entry.not_before),
            ("end", key.validity.not_after == entry.not_after),
            ("operator", key.operator.as_str() == entry.operator),
            ("set of classes", key.classes == entry.classes),
        ];
        match fields.iter().find(|(_, same)| !same) {
            Some((field, _)) => Err(BundleRefusal::Mismatch(entry.kid, field)),
            None => Ok(key),
        }
    }
}

impl AcceptedBundle {
    /// The issuer keys, for a [`TrustStore`](crate::TrustStore).
    #[must_use]
    pub fn keys(&self) -> &[IssuerKey] {
        &self.keys
    }

    /// When the issuer made it.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// From this second on a terminal refuses codes rather than accept them on its word. Intake
    /// may still judge late rides by it: they count by the time of the ride, which
    /// [`IssuerKey::validity`] bounds.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }
}
