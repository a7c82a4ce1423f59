//! Certificates of the hierarchy (RFC 5280), signed by keys that stay in their token.
//!
//! Profiles: a self-signed root; below it the access CA (path length 0) and the issuers of
//! credentials; below the access CA the identities of services and terminals. What a request asks
//! for beyond its key and its names is decided by the profile, never by the request. Profiles are
//! data (`policies/profiles`), and so is the list of rules that everything is held to
//! (`policies/lints.toml`), first signed by a throwaway key, then by the authority's ([`Rules`]).

mod anatomy;
mod authority;
mod crl;
mod der;
mod examine;
#[cfg(test)]
pub(crate) mod fixture;
mod issuance;
mod issuer_certificate;
mod key_request;
mod lint;
mod pen;
mod profile;
mod request;
mod rules;
mod scope;
mod waiver;

use obol_credential::UnixTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::keys::FindError;
use crate::pool::PoolError;
use crate::token::SignError;

pub(crate) use anatomy::{Tbs, TbsList};
pub use authority::{AccessCa, RootCa};
pub use crl::{CRL_MAX, CrlError, NotARevocationList, RevocationList, Revoked};
pub use examine::{ExamineError, Examined};
pub use issuance::Findings;
pub use issuer_certificate::{IssuerCertificate, IssuerCertificateError};
pub use key_request::KeyRequest;
pub(crate) use lint::algorithm_of;
pub use lint::{Finding, InvalidLints};
pub use profile::{InvalidProfile, ProfileName, RULES_FILE_MAX, RevocationReason};
pub use request::{CertificateRequest, IdentityProfile, RequestError};
pub use rules::{Rules, RulesError};
pub(crate) use scope::is_name;
pub use scope::{InvalidScope, Scope};
pub use waiver::{
    InvalidWaiver, Officers, REASON_MAX, WAIVER_DAYS_MAX, WAIVERS_MAX, Waiver, WaiverStatement,
};

/// Largest PEM file with one certificate or request, in bytes.
pub const PEM_MAX: usize = 64 * 1024;
const SECONDS_PER_DAY: u32 = 86_400;
/// Certificates begin this much earlier, so that a slightly slow clock believes a fresh one.
pub const BACKDATE_S: u32 = 60;

/// One certificate, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
}

/// The text is not one PEM certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not exactly one PEM block CERTIFICATE with a DER certificate in it")]
pub struct NotACertificate;

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The common name is empty or longer than RFC 5280's 64 characters, or not printable.
    #[error("common name {0:?} is not 1 to 64 printable ASCII characters")]
    CommonName(String),
    /// Not a validity: it ends before it begins, or after 2106.
    #[error("a validity of {0} days is not 1 to 7305 days that end before 2106")]
    Days(u32),
    /// The certificate would be good for longer than its issuer's.
    #[error(
        "it would end at {wanted}, after its issuer's certificate ends at {limit} (seconds since 1970)"
    )]
    Outlives {
        /// End asked for.
        wanted: UnixTime,
        /// End of the issuer's certificate.
        limit: UnixTime,
    },
    /// The certificate given as the authority's may not issue this.
    #[error("the authority's certificate is no {0}")]
    NotThisAuthority(&'static str),
    /// The request's names do not fit the profile.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The authority's key is not in the token, or is refused.
    #[error(transparent)]
    Key(#[from] FindError),
    /// The token did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The token gave no random bytes for a serial number or a rehearsal.
    #[error("no random bytes")]
    Random(#[source] PoolError),
    /// The token's random bytes made no key for the rehearsal, again and again.
    #[error("the token's random bytes make no key: its generator is broken")]
    Throwaway,
    /// Rules are broken by what would have been signed; nothing was signed.
    #[error("nothing was signed, because rules are broken: {0}")]
    Lint(Findings),
    /// Rules are broken by what was signed although the rehearsal broke none.
    #[error("what was signed is not released, because rules are broken: {0}")]
    LintAfterwards(Findings),
    /// The authority's key signed other bytes than those that were linted.
    #[error("what was signed is not released: it differs from what was linted")]
    NotAsRehearsed,
    /// The certificate could not be encoded.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(String),
}

impl Certificate {
    pub(crate) fn from_checked_der(der: Vec<u8>) -> Certificate {
        Certificate { der }
    }

    /// Reads exactly one PEM certificate (RFC 7468).
    ///
    /// # Errors
    /// [`NotACertificate`].
    pub fn from_pem(pem: &[u8]) -> Result<Certificate, NotACertificate> {
        let der = one_pem_block(pem, "CERTIFICATE").ok_or(NotACertificate)?;
        match X509Certificate::from_der(&der) {
            Ok(([], _)) => Ok(Certificate { der }),
            _ => Err(NotACertificate),
        }
    }

    /// The DER bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text (RFC 7468) with a newline at its end.
    pub fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.der)
    }

    /// Common name of the subject, if there is one.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let x509 = self.parse().ok()?;
        let name = x509.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    }

    /// Serial number, lower-case hexadecimal; `None` if the certificate cannot be read.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        let x509 = self.parse().ok()?;
        Some(data_encoding::HEXLOWER.encode(x509.raw_serial()))
    }

    pub(crate) fn parse(&self) -> Result<X509Certificate<'_>, NotACertificate> {
        X509Certificate::from_der(&self.der)
            .map(|(_, certificate)| certificate)
            .map_err(|_| NotACertificate)
    }
}

/// From when until when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Validity {
    /// `days` (1 to 7305, twenty years) from `now`; it begins one minute earlier.
    ///
    /// # Errors
    /// [`CertificateError::Days`].
    pub fn days(now: UnixTime, days: u32) -> Result<Validity, CertificateError> {
        let end = days
            .checked_mul(SECONDS_PER_DAY)
            .and_then(|life| now.0.checked_add(life));
        match end {
            Some(end) if (1..=7305).contains(&days) => Ok(Validity {
                not_before: now.minus(BACKDATE_S),
                not_after: UnixTime(end),
            }),
            _ => Err(CertificateError::Days(days)),
        }
    }

    /// The clock by which it was made.
    fn made_at(&self) -> UnixTime {
        self.not_before.plus(BACKDATE_S)
    }
}

pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(64) {
        pem.push_str(&body[start..body.len().min(start + 64)]);
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The bytes of the only PEM block of `text`, if its label is `label`.
pub(crate) fn one_pem_block(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let mut blocks = x509_parser::pem::Pem::iter_from_buffer(text);
    let block = blocks.next()?.ok()?;
    (block.label == label && blocks.next().is_none()).then_some(block.contents)
}

/// The certificate's end as this house counts time; X.509 knows later dates than `u32` does.
pub(crate) fn not_after(certificate: &X509Certificate<'_>) -> UnixTime {
    let end = certificate.validity().not_after.timestamp();
    UnixTime(u32::try_from(end.max(0)).unwrap_or(u32::MAX))
}

pub(crate) fn not_before(certificate: &X509Certificate<'_>) -> UnixTime {
    let begin = certificate.validity().not_before.timestamp();
    UnixTime(u32::try_from(begin.max(0)).unwrap_or(u32::MAX))
}
