//! Certificates and revocation lists before they are signed.

use obol_credential::UnixTime;
use obol_kms_registry::{Class, PayloadType};

use crate::payload::PayloadRefusal;
use crate::public_key::PublicKey;
use crate::x509::{Certificate, Findings, ProfileName, Rules, Tbs, TbsList, algorithm_of};

/// A TBSCertificate (RFC 5280 section 4.1.1.1) of a known profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePayload {
    der: Vec<u8>,
    profile: ProfileName,
}

/// A TBSCertList (RFC 5280 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPayload {
    der: Vec<u8>,
}

/// Rules that the payload breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rules are broken: {0}")]
pub struct LintRefusal(pub Findings);

impl CertificatePayload {
    pub(super) fn parse(der: &[u8]) -> Result<CertificatePayload, PayloadRefusal> {
        let tbs = Tbs::read(der).map_err(|fault| PayloadRefusal::NotDer {
            payload: PayloadType::TbsCertificate,
            fault: fault.to_string(),
        })?;
        let profile = Rules::built_in()
            .profile_of(&tbs)
            .ok_or(PayloadRefusal::NoProfile)?;
        Ok(CertificatePayload {
            der: der.to_vec(),
            profile,
        })
    }

    /// The profile it claims by its extensions; [`CertificatePayload::lint`] holds it to all of it.
    pub fn profile(&self) -> ProfileName {
        self.profile
    }

    pub(super) fn permitted_for(&self, class: Class) -> Result<(), String> {
        let authority = match self.profile {
            ProfileName::Root | ProfileName::AccessCa | ProfileName::Issuer => Class::Root,
            _ => Class::AccessCa,
        };
        if class != authority {
            return Err(format!("a certificate of profile {}", self.profile.name()));
        }
        Ok(())
    }

    /// Holds it to the rules, as if it were signed; `issuer` is the authority's certificate, `None`
    /// for a root that signs itself.
    ///
    /// # Errors
    /// [`LintRefusal`] with the rules that it breaks and no waiver covers.
    pub fn lint(
        &self,
        rules: &Rules,
        issuer: Option<&Certificate>,
        now: UnixTime,
    ) -> Result<(), LintRefusal> {
        rules
            .lint_unsigned(&self.der, issuer, self.profile, now)
            .map_err(LintRefusal)
    }

    pub(super) fn signature_input(&self, key: &PublicKey) -> Result<Vec<u8>, PayloadRefusal> {
        let tbs = Tbs::read(&self.der).map_err(|_| PayloadRefusal::Algorithm)?;
        of_this_algorithm(tbs.algorithm, key, &self.der)
    }
}

impl ListPayload {
    pub(super) fn parse(der: &[u8]) -> Result<ListPayload, PayloadRefusal> {
        TbsList::read(der).map_err(|fault| PayloadRefusal::NotDer {
            payload: PayloadType::Crl,
            fault: fault.to_string(),
        })?;
        let der = der.to_vec();
        Ok(ListPayload { der })
    }

    /// Holds it to the rules, as if it were signed; `issuer` is the authority's certificate and
    /// `class` its key's.
    ///
    /// # Errors
    /// [`LintRefusal`] with the rules that it breaks and no waiver covers.
    pub fn lint(
        &self,
        rules: &Rules,
        issuer: &Certificate,
        class: Class,
        now: UnixTime,
    ) -> Result<(), LintRefusal> {
        let authority = match class {
            Class::Root => ProfileName::Root,
            _ => ProfileName::AccessCa,
        };
        rules
            .lint_unsigned_list(&self.der, issuer, authority, now)
            .map_err(LintRefusal)
    }

    pub(super) fn signature_input(&self, key: &PublicKey) -> Result<Vec<u8>, PayloadRefusal> {
        let list = TbsList::read(&self.der).map_err(|_| PayloadRefusal::Algorithm)?;
        of_this_algorithm(list.algorithm, key, &self.der)
    }
}

/// A structure that names another algorithm than its signature's would be verified wrongly or not
/// at all.
fn of_this_algorithm(
    algorithm: &[u8],
    key: &PublicKey,
    der: &[u8],
) -> Result<Vec<u8>, PayloadRefusal> {
    if algorithm != algorithm_of(key.curve()) {
        return Err(PayloadRefusal::Algorithm);
    }
    Ok(der.to_vec())
}
