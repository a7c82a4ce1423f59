//! What an issuer's certificate says about its key.

use obol_credential::UnixTime;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::X509Certificate;

use crate::public_key::PublicKey;
use crate::x509::scope::{CREDENTIAL_ISSUER_EKU, InvalidScope, SCOPE_EXTENSION, Scope};
use crate::x509::{Certificate, not_after, not_before};

/// An issuer's certificate, read strictly: the authority of a key to sign credentials.
#[derive(Debug, Clone)]
pub struct IssuerCertificate {
    pub(crate) public: PublicKey,
    pub(crate) scope: Scope,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

/// Why a certificate gives no authority to sign credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerCertificateError {
    /// Not a certificate on a known curve.
    #[error("not a certificate of a P-256 or P-384 key")]
    Malformed,
    /// A CA certificate, or one without digitalSignature.
    #[error("it is a CA certificate or lacks digitalSignature")]
    Usage,
    /// Without the critical usage "obol credential issuer" the key may sign no credential.
    #[error("it lacks the critical extended key usage 1.3.6.1.4.1.59999.1.1 as its only one")]
    Purpose,
    /// The scope extension is missing.
    #[error("it lacks the scope extension 1.3.6.1.4.1.59999.1.2")]
    NoScope,
    /// The scope extension is malformed.
    #[error(transparent)]
    Scope(#[from] InvalidScope),
}

impl IssuerCertificate {
    /// Reads what the certificate says. Whether a root vouches for it is the verifier's question.
    ///
    /// # Errors
    /// [`IssuerCertificateError`].
    pub fn read(certificate: &Certificate) -> Result<IssuerCertificate, IssuerCertificateError> {
        let x509 = certificate
            .parse()
            .map_err(|_| IssuerCertificateError::Malformed)?;
        let public = PublicKey::from_spki_der(x509.public_key().raw)
            .ok_or(IssuerCertificateError::Malformed)?;
        let signs = matches!(x509.key_usage(), Ok(Some(usage)) if usage.value.digital_signature());
        if !signs || x509.is_ca() {
            return Err(IssuerCertificateError::Usage);
        }
        if !has_only_the_issuer_purpose(&x509) {
            return Err(IssuerCertificateError::Purpose);
        }
        let scope = Oid::from(SCOPE_EXTENSION)
            .ok()
            .and_then(|oid| x509.get_extension_unique(&oid).ok().flatten())
            .ok_or(IssuerCertificateError::NoScope)?;
        let scope = Scope::from_der(scope.value)?;
        let (not_before, not_after) = (not_before(&x509), not_after(&x509));
        Ok(IssuerCertificate {
            public,
            scope,
            not_before,
            not_after,
        })
    }

    /// The issuer's public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Operator and classes.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

fn has_only_the_issuer_purpose(x509: &X509Certificate<'_>) -> bool {
    let (Ok(Some(usage)), Ok(purpose)) =
        (x509.extended_key_usage(), Oid::from(CREDENTIAL_ISSUER_EKU))
    else {
        return false;
    };
    let eku = usage.value;
    let standard = eku.any
        || eku.server_auth
        || eku.client_auth
        || eku.code_signing
        || eku.email_protection
        || eku.time_stamping
        || eku.ocsp_signing;
    usage.critical && !standard && eku.other == [purpose]
}
