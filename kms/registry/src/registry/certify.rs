use obol_credential::UnixTime;
use rusqlite::params;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fault::{Doing, Fault};
use crate::machine::State;
use crate::registry::transition::{self, Change, ChangeError};
use crate::registry::{KeyRecord, Registry, record};
use crate::spki::SpkiId;

/// Longest certificate, in bytes of DER.
const CERTIFICATE_MAX: usize = 16 * 1024;

/// Why a certificate was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The bytes are no certificate.
    #[error("the bytes are not one DER certificate of at most {CERTIFICATE_MAX} bytes")]
    NotACertificate,
    /// It certifies another key.
    #[error("the certificate is for key {found}, not for {wanted}")]
    OtherKey {
        /// The key in the certificate.
        found: SpkiId,
        /// The key it was handed in for.
        wanted: SpkiId,
    },
    /// The key cannot become certified.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<Fault> for CertifyError {
    fn from(fault: Fault) -> CertifyError {
        CertifyError::Change(fault.into())
    }
}

impl Registry {
    /// Records the certificate of a key, which is then `certified`. Who issued it and what it says
    /// is the matter of profiles and lints, before this.
    ///
    /// # Errors
    /// [`CertifyError`]: no certificate, another key's, or a key that is not `generated`.
    pub fn certify(
        &self,
        spki: SpkiId,
        certificate_der: &[u8],
        now: UnixTime,
    ) -> Result<KeyRecord, CertifyError> {
        let found = certified_key(certificate_der)?;
        if found != spki {
            let wanted = spki;
            return Err(CertifyError::OtherKey { found, wanted });
        }
        self.write("recording a certificate", |transaction| {
            let key = record::one(transaction, spki)?.ok_or(ChangeError::Unknown(spki))?;
            let change = Change {
                spki,
                from: key.state,
                to: State::Certified,
                version: key.version,
                reason: "certificate recorded".to_owned(),
            };
            // From pending destruction it is a cancellation, which takes approvals.
            let asked = transition::Asked::plainly(&change);
            transition::apply(transaction, &self.identity, &key, &asked, now)?;
            transaction
                .execute(
                    "UPDATE key SET certificate = ?2 WHERE spki = ?1",
                    params![spki.0, certificate_der],
                )
                .doing("writing a certificate")?;
            Ok(record::known(transaction, spki)?)
        })
    }
}

/// The last second of the validity of a certificate that was recorded, or of the time that has a
/// number here.
#[must_use]
pub fn certificate_ends(der: &[u8]) -> UnixTime {
    let parsed = X509Certificate::from_der(der).ok();
    // One that does not read was never recorded; it would be good for no second.
    let end = parsed.map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp());
    UnixTime(u32::try_from(end.clamp(0, i64::from(u32::MAX))).unwrap_or(u32::MAX))
}

/// The key that a DER certificate is for.
///
/// # Errors
/// [`CertifyError::NotACertificate`], also for more than one and for trailing bytes.
pub fn certified_key(der: &[u8]) -> Result<SpkiId, CertifyError> {
    if der.len() > CERTIFICATE_MAX {
        return Err(CertifyError::NotACertificate);
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(SpkiId::of(certificate.public_key().raw)),
        _ => Err(CertifyError::NotACertificate),
    }
}
