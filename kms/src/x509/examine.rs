//! Certificates and lists as an auditor meets them: finished, from somewhere, to be believed or not.

use obol_credential::UnixTime;
use obol_kms_client::SpkiId;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::public_key::PublicKey;
use crate::x509::anatomy::{Signed, Tbs};
use crate::x509::issuance::Findings;
use crate::x509::profile::ProfileName;
use crate::x509::{Certificate, RevocationList, Rules, not_after, not_before};

/// What a certificate says, after it was examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its profile.
    pub profile: ProfileName,
    /// Common name of the subject.
    pub common_name: String,
    /// Its key.
    pub spki: SpkiId,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// First second.
    pub not_before: UnixTime,
    /// Last second.
    pub not_after: UnixTime,
}

/// Why a certificate or a list is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExamineError {
    /// Not DER of its structure.
    #[error("it is malformed")]
    Malformed,
    /// A certificate of no profile.
    #[error("it is of no profile")]
    NoProfile,
    /// Another key signed it.
    #[error("its issuer's key does not verify its signature")]
    Signature,
    /// Rules are broken.
    #[error("rules are broken: {0}")]
    Lint(Findings),
}

impl Rules {
    /// Examines a finished certificate: profile, signature and every lint, with the waivers that count
    /// at `at`. `issuer` is `None` for a root.
    ///
    /// # Errors
    /// [`ExamineError`].
    pub fn examine(
        &self,
        certificate: &Certificate,
        issuer: Option<&Certificate>,
        at: UnixTime,
    ) -> Result<Examined, ExamineError> {
        let signed = Signed::read(certificate.as_der()).map_err(|_| ExamineError::Malformed)?;
        let tbs = Tbs::read(signed.tbs).map_err(|_| ExamineError::Malformed)?;
        let name = self.profile_of(&tbs).ok_or(ExamineError::NoProfile)?;
        let x509 = certificate.parse().map_err(|_| ExamineError::Malformed)?;
        let issuing = issuer.unwrap_or(certificate);
        let issuing = issuing.parse().map_err(|_| ExamineError::Malformed)?;
        x509.verify_signature(Some(issuing.public_key()))
            .map_err(|_| ExamineError::Signature)?;
        let profiles = self.profiles.certificates();
        let profile = profiles
            .iter()
            .find(|profile| profile.name == name)
            .ok_or(ExamineError::NoProfile)?;
        let issuer_der = issuer.map(Certificate::as_der);
        let findings = self
            .lints
            .certificate(certificate.as_der(), issuer_der, profile);
        none(self.unwaived(findings, name, at))?;
        let mut names = x509.subject().iter_common_name();
        let common_name = names.next().and_then(|name| name.as_str().ok());
        let public = PublicKey::from_spki_der(tbs.spki).ok_or(ExamineError::Malformed)?;
        Ok(Examined {
            profile: name,
            common_name: common_name.ok_or(ExamineError::Malformed)?.to_owned(),
            spki: public.spki_id(),
            serial: data_encoding::HEXLOWER.encode(x509.raw_serial()),
            not_before: not_before(&x509),
            not_after: not_after(&x509),
        })
    }

    /// Examines a finished revocation list of `authority`, the root's or the access CA's certificate.
    ///
    /// # Errors
    /// [`ExamineError`].
    pub fn examine_list(
        &self,
        list: &RevocationList,
        authority: &Certificate,
        at: UnixTime,
    ) -> Result<(), ExamineError> {
        let signed = Signed::read(authority.as_der()).map_err(|_| ExamineError::Malformed)?;
        let tbs = Tbs::read(signed.tbs).map_err(|_| ExamineError::Malformed)?;
        let crl = &self.profiles.crl;
        let days = match self.profile_of(&tbs) {
            Some(ProfileName::Root) => crl.root_days,
            Some(ProfileName::AccessCa) => crl.access_ca_days,
            _ => return Err(ExamineError::NoProfile),
        };
        let issuing = authority.parse().map_err(|_| ExamineError::Malformed)?;
        let (_, parsed) = CertificateRevocationList::from_der(list.as_der())
            .map_err(|_| ExamineError::Malformed)?;
        parsed
            .verify_signature(issuing.public_key())
            .map_err(|_| ExamineError::Signature)?;
        let findings = self
            .lints
            .list(list.as_der(), authority.as_der(), crl, days);
        none(self.unwaived(findings, ProfileName::Crl, at))
    }
}

fn none(findings: Vec<crate::x509::Finding>) -> Result<(), ExamineError> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(ExamineError::Lint(Findings(findings)))
}
