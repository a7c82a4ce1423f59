//! The two authorities: the root, and the access CA below it.

use obol_credential::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::X509Certificate;

use crate::keys::Key;
use crate::public_key::PublicKey;
use crate::token::Token;
use crate::x509::remote::{Subject, TokenSigner};
use crate::x509::scope::SCOPE_EXTENSION;
use crate::x509::{
    Certificate, CertificateError, CertificateRequest, IdentityProfile, Scope, Validity, not_after,
};

/// Bytes of a serial number: RFC 5280 section 4.1.2.2 allows 20, all of them random here.
const SERIAL_LEN: u32 = 20;
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// The root CA: its certificate, and the token that holds its key.
#[derive(Debug)]
pub struct RootCa<'a>(Authority<'a>);

/// The access CA: it names services and terminals on mTLS, and nothing else.
#[derive(Debug)]
pub struct AccessCa<'a>(Authority<'a>);

impl<'a> RootCa<'a> {
    /// Signs the root's own certificate with `key`: the first thing the key ever signs.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn create(
        token: &Token,
        key: &Key,
        common_name: &str,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let mut params = params(token, common_name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signer = TokenSigner::new(token, key);
        let certificate = params
            .self_signed(&signer)
            .map_err(|error| signer.explain(error))?;
        Ok(Certificate::from_checked_der(certificate.der().to_vec()))
    }

    /// Takes the root's certificate and finds its key in `token` by the SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`CertificateError`]: not a self-signed CA certificate, or the key is not there.
    pub fn open(token: &'a Token, certificate: Certificate) -> Result<Self, CertificateError> {
        Authority::open(token, certificate, "root CA", |x509, path_len| {
            path_len.is_none() && x509.subject() == x509.issuer()
        })
        .map(RootCa)
    }

    /// Issues the access CA's certificate: CA, path length 0.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_access_ca(
        &self,
        subject: &Key,
        common_name: &str,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let mut params = params(self.0.token, common_name, validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        self.0.issue(params, subject.public(), validity)
    }

    /// Issues an issuer's certificate: no CA, digitalSignature, the critical usage "obol credential
    /// issuer" and its scope.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_issuer(
        &self,
        subject: &Key,
        common_name: &str,
        scope: &Scope,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let mut params = params(self.0.token, common_name, validity)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.custom_extensions = vec![
            // Written by hand because the builder cannot mark the usage critical.
            extension(
                EXTENDED_KEY_USAGE,
                credential_issuer_usage(),
                Criticality::Critical,
            ),
            extension(SCOPE_EXTENSION, scope.to_der(), Criticality::Informative),
        ];
        self.0.issue(params, subject.public(), validity)
    }
}

impl<'a> AccessCa<'a> {
    /// Takes the access CA's certificate and finds its key in `token` by the SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`CertificateError`]: not a CA certificate of path length 0, or the key is not there.
    pub fn open(token: &'a Token, certificate: Certificate) -> Result<Self, CertificateError> {
        Authority::open(token, certificate, "access CA", |_, path_len| {
            path_len == Some(0)
        })
        .map(AccessCa)
    }

    /// Issues an identity: P-256, the request's one `obol://` name, usages of the profile.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_identity(
        &self,
        request: &CertificateRequest,
        profile: IdentityProfile,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let names = request.names_for(profile)?;
        let mut params = params(self.0.token, &request.common_name(), validity)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match profile {
            IdentityProfile::Server => {
                vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ]
            }
            IdentityProfile::Client | IdentityProfile::Terminal => {
                vec![ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        self.0.issue(params, request.public(), validity)
    }
}

#[derive(Debug)]
struct Authority<'a> {
    token: &'a Token,
    key: Key,
    certificate: Certificate,
    not_after: UnixTime,
}

impl<'a> Authority<'a> {
    fn open(
        token: &'a Token,
        certificate: Certificate,
        kind: &'static str,
        fits: impl Fn(&X509Certificate<'_>, Option<u32>) -> bool,
    ) -> Result<Authority<'a>, CertificateError> {
        let refused = CertificateError::NotThisAuthority(kind);
        let Ok(x509) = certificate.parse() else {
            return Err(refused);
        };
        let (Ok(Some(constraints)), Ok(Some(usage))) = (x509.basic_constraints(), x509.key_usage())
        else {
            return Err(refused);
        };
        let path_len = constraints.value.path_len_constraint;
        if !constraints.value.ca || !usage.value.key_cert_sign() || !fits(&x509, path_len) {
            return Err(refused);
        }
        let public = PublicKey::from_spki_der(x509.public_key().raw).ok_or(refused)?;
        let key = token.key(public.spki_id())?;
        let not_after = not_after(&x509);
        Ok(Authority {
            token,
            key,
            certificate,
            not_after,
        })
    }

    fn issue(
        &self,
        params: CertificateParams,
        subject: &PublicKey,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        if validity.not_after > self.not_after {
            let (wanted, limit) = (validity.not_after, self.not_after);
            return Err(CertificateError::Outlives { wanted, limit });
        }
        let signer = TokenSigner::new(self.token, &self.key);
        let certificate = Issuer::from_ca_cert_der(&self.certificate.as_der().into(), &signer)
            .and_then(|issuer| params.signed_by(&Subject(subject), &issuer))
            .map_err(|error| signer.explain(error))?;
        Ok(Certificate::from_checked_der(certificate.der().to_vec()))
    }
}

/// What all profiles share. Every default of the builder is replaced: its own are a validity from
/// 1975 to 4096 and a common name of its own invention.
fn params(
    token: &Token,
    common_name: &str,
    validity: Validity,
) -> Result<CertificateParams, CertificateError> {
    let printable = common_name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if common_name.is_empty() || common_name.len() > 64 || !printable {
        return Err(CertificateError::CommonName(common_name.to_owned()));
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(serial(token)?);
    params.use_authority_key_identifier_extension = true;
    // RFC 7093 section 2 method 1: the first 160 bits of SHA-256 over the public key.
    params.key_identifier_method = KeyIdMethod::Sha256;
    Ok(params)
}

fn date(time: UnixTime) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(i64::from(time.0))
        .map_err(|error| CertificateError::Encoding(error.to_string()))
}

/// 20 random bytes of the token. The first lies in 0x40..=0x7f: positive, and never shorter.
fn serial(token: &Token) -> Result<SerialNumber, CertificateError> {
    let mut bytes = token.random(SERIAL_LEN).map_err(CertificateError::Serial)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

enum Criticality {
    Critical,
    Informative,
}

fn extension(oid: &[u64], content: Vec<u8>, criticality: Criticality) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(matches!(criticality, Criticality::Critical));
    extension
}

/// DER of `SEQUENCE { OBJECT IDENTIFIER 1.3.6.1.4.1.59999.1.1 }`.
fn credential_issuer_usage() -> Vec<u8> {
    let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xd4, 0x5f, 0x01, 0x01];
    let mut der = vec![0x30, oid.len() as u8 + 2, 0x06, oid.len() as u8];
    der.extend_from_slice(&oid);
    der
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::scope::CREDENTIAL_ISSUER_EKU;
    use x509_parser::der_parser::oid::Oid;

    #[test]
    fn the_usage_extension_holds_the_published_object_identifier() {
        let der = credential_issuer_usage();
        assert_eq!(
            Oid::new(der[4..].into()),
            Oid::from(CREDENTIAL_ISSUER_EKU).unwrap()
        );
    }
}
