use miette::Diagnostic;
use obol_credential::{Kid, Malformed, UnixTime};
use obol_trust::{Entry, TrustBundle};
use obol_verifier_sdk::{
    IssuerKey,
    x509::{CertificateRefusal, Root},
};
use thiserror::Error;

/// A trust bundle whose every key was proved by a certificate of the pinned root.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<IssuerKey>,
    issued_at: UnixTime,
    expires_at: UnixTime,
}

/// Why a trust bundle is not believed. The one in use stays.
#[derive(Debug, Error, Diagnostic)]
pub enum TrustRefused {
    /// Not a trust bundle.
    #[error("the trust bundle is malformed at {0}")]
    #[diagnostic(help("fetch it again from the issuer of this deployment"))]
    Malformed(Malformed),
    /// A certificate that the pinned root does not answer for.
    #[error("the trust bundle's key {kid} is not believed: {source}")]
    #[diagnostic(help(
        "check that the provisioning names the root of this deployment; if it does, report this"
    ))]
    Certificate {
        /// The key.
        kid: Kid,
        /// The rule that is broken.
        source: CertificateRefusal,
    },
    /// An entry that says something else than its certificate.
    #[error("the trust bundle's key {kid} differs from its certificate in its {what}")]
    #[diagnostic(help("report this to the issuer: it publishes what the root did not sign"))]
    Mismatch {
        /// The key.
        kid: Kid,
        /// The field.
        what: &'static str,
    },
    /// Out of date on arrival.
    #[error("the trust bundle expired at {expires_at}, and it is {now}")]
    #[diagnostic(help("check this terminal's clock, then the issuer's bundle"))]
    Expired {
        /// Its end.
        expires_at: UnixTime,
        /// The terminal's time.
        now: UnixTime,
    },
    /// Older than the one in use.
    #[error("the trust bundle of {found} is older than the one in use, of {in_use}")]
    #[diagnostic(help("somebody replays an old bundle, or the issuer's clock was set back"))]
    Older {
        /// When the offered one was made.
        found: UnixTime,
        /// When the one in use was made.
        in_use: UnixTime,
    },
}

impl Trust {
    /// Believes a bundle that `root` answers for. Whether it is out of date is asked at each scan.
    ///
    /// # Errors
    /// [`TrustRefused`] when the bundle is malformed or one of its keys is not proved: then none
    /// of them is believed.
    pub fn from_bundle(bytes: &[u8], root: &Root) -> Result<Self, TrustRefused> {
        let bundle = TrustBundle::decode(bytes).map_err(TrustRefused::Malformed)?;
        let keys = bundle.entries().iter().map(|entry| proved(entry, root));
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            issued_at: bundle.issued_at(),
            expires_at: bundle.expires_at(),
        })
    }

    /// Says whether this bundle may take the place of `in_use` at `now`.
    ///
    /// # Errors
    /// [`TrustRefused::Expired`] and [`TrustRefused::Older`].
    pub fn may_replace(&self, in_use: Option<&Self>, now: UnixTime) -> Result<(), TrustRefused> {
        if self.has_expired(now) {
            return Err(TrustRefused::Expired {
                expires_at: self.expires_at,
                now,
            });
        }
        match in_use {
            Some(in_use) if self.issued_at < in_use.issued_at => Err(TrustRefused::Older {
                found: self.issued_at,
                in_use: in_use.issued_at,
            }),
            _ => Ok(()),
        }
    }

    /// The issuer keys.
    #[must_use]
    pub fn keys(&self) -> &[IssuerKey] {
        &self.keys
    }

    /// When the issuer made the bundle.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// The first second at which it is out of date.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// Whether it is out of date.
    #[must_use]
    pub fn has_expired(&self, now: UnixTime) -> bool {
        self.expires_at <= now
    }
}

/// The key as its certificate says it, which the entry must say too.
fn proved(entry: &Entry<'_>, root: &Root) -> Result<IssuerKey, TrustRefused> {
    let kid = entry.kid;
    let key = root
        .issuer_key(entry.certificate)
        .map_err(|source| TrustRefused::Certificate { kid, source })?;
    let point = IssuerKey::new(
        entry.algorithm,
        entry.point,
        key.validity,
        key.operator,
        key.classes,
    );
    let comparisons = [
        (key.kid() == kid, "kid"),
        (key.algorithm() == entry.algorithm, "algorithm"),
        (point.is_ok_and(|point| point.kid() == kid), "point"),
        (key.validity.not_before == entry.not_before, "first second"),
        (key.validity.not_after == entry.not_after, "last second"),
        (key.operator.as_str() == entry.operator, "operator"),
        (key.classes == entry.classes, "classes"),
    ];
    match comparisons.into_iter().find(|(equal, _)| !equal) {
        None => Ok(key),
        Some((_, what)) => Err(TrustRefused::Mismatch { kid, what }),
    }
}
