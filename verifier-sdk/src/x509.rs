//! Import of issuer certificates: chain to the pinned root, profile, scope.
//!
//! An issuer key's certificate is issued by the root itself (no longer chains), is not a CA's,
//! and says in a private extension whom the key may serve. Everything a terminal believes about
//! the key comes from the certificate; a trust bundle's entry must say the same.

mod bundle;

use std::{string::String, vec::Vec};

use obol_credential::{Algorithm, UnixTime};
use p384::ecdsa::signature::Verifier;
use x509_parser::{
    der_parser::{
        asn1_rs::{FromDer, Integer, Sequence, Utf8String},
        oid,
    },
    extensions::ParsedExtension,
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA384, Oid,
    },
    prelude::X509Certificate,
};

use crate::{IssuerKey, Operator, Validity};

pub use bundle::{AcceptedBundle, BundleRefusal};

/// Private extended key usage of an issuer key: signs PT1 credentials and nothing else.
pub const EKU_CREDENTIAL_ISSUER: Oid<'static> = oid!(1.3.6.1.4.1.59999.1.1);
/// Private extension: `SEQUENCE { operator UTF8String, classes INTEGER (0..4294967295) }`.
pub const SCOPE_EXTENSION: Oid<'static> = oid!(1.3.6.1.4.1.59999.1.2);

/// Why a certificate or a bundle entry is not believed. The text names the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRefusal {
    /// Subject of the certificate where it could be read, for the operator's eyes.
    pub subject: String,
    /// The rule that is broken.
    pub rule: &'static str,
}

impl core::fmt::Display for CertificateRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "certificate {:?}: {}", self.subject, self.rule)
    }
}

impl core::error::Error for CertificateRefusal {}

/// The pinned root: a self-signed P-384 CA certificate that the provisioning put in place.
#[derive(Clone, Debug)]
pub struct Root {
    name: Vec<u8>,
    key: p384::ecdsa::VerifyingKey,
}

impl Root {
    /// Reads the pinned root certificate from PEM (RFC 7468): one `CERTIFICATE`, nothing behind it.
    ///
    /// # Errors
    /// [`CertificateRefusal`] when it is not PEM or [`Root::from_certificate`] refuses it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateRefusal> {
        match x509_parser::pem::parse_x509_pem(pem) {
            Ok((rest, pem)) if pem.label == "CERTIFICATE" && rest.trim_ascii().is_empty() => {
                Self::from_certificate(&pem.contents)
            }
            _ => Err(unreadable("not one PEM certificate")),
        }
    }

    /// Reads the pinned root certificate (DER).
    ///
    /// # Errors
    /// [`CertificateRefusal`] when it is not a self-signed P-384 CA certificate.
    pub fn from_certificate(der: &[u8]) -> Result<Self, CertificateRefusal> {
        let certificate = parse(der)?;
        let broken = |rule| refused(&certificate, rule);
        let (algorithm, point) = public_key(&certificate)?;
        if algorithm != Algorithm::Esp384 {
            return Err(broken("the root's key is not on P-384"));
        }
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
            .map_err(|_| broken("the root's key is not a point on P-384"))?;
        let is_ca = matches!(certificate.basic_constraints(), Ok(Some(found)) if found.value.ca);
        if !is_ca {
            return Err(broken("not a CA certificate"));
        }
        let root = Self {
            name: certificate.subject().as_raw().to_vec(),
            key,
        };
        root.check_issued(&certificate)?;
        Ok(root)
    }

    /// Reads an issuer key's certificate (DER) and believes what it says.
    ///
    /// # Errors
    /// [`CertificateRefusal`] when the root did not issue it or it breaks the profile: not a CA,
    /// `digitalSignature` alone, the critical private key usage alone, one scope, a key on P-384
    /// or P-256, no unknown critical extension.
    pub fn issuer_key(&self, der: &[u8]) -> Result<IssuerKey, CertificateRefusal> {
        let certificate = parse(der)?;
        self.check_issued(&certificate)?;
        check_profile(&certificate)?;
        let (operator, classes) = scope(&certificate)?;
        let validity = validity(&certificate)?;
        let (algorithm, point) = public_key(&certificate)?;
        IssuerKey::new(algorithm, point, validity, operator, classes)
            .map_err(|_| refused(&certificate, "the key is not a point on its curve"))
    }

    fn check_issued(&self, certificate: &X509Certificate<'_>) -> Result<(), CertificateRefusal> {
        let broken = |rule| refused(certificate, rule);
        if certificate.issuer().as_raw() != self.name {
            return Err(broken("issued by another than the pinned root"));
        }
        let algorithm = &certificate.signature_algorithm.algorithm;
        if *algorithm != OID_SIG_ECDSA_WITH_SHA384
            || certificate.tbs_certificate.signature.algorithm != *algorithm
        {
            return Err(broken("not signed with ECDSA and SHA-384"));
        }
        let signature = p384::ecdsa::Signature::from_der(&certificate.signature_value.data)
            .map_err(|_| broken("the signature is not DER"))?;
        self.key
            .verify(certificate.tbs_certificate.as_ref(), &signature)
            .map_err(|_| broken("the pinned root did not sign this certificate"))
    }
}

fn check_profile(certificate: &X509Certificate<'_>) -> Result<(), CertificateRefusal> {
    let broken = |rule| refused(certificate, rule);
    if matches!(certificate.basic_constraints(), Err(_) | Ok(None)) || certificate.is_ca() {
        return Err(broken("basic constraints do not say CA false"));
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if usage.critical && usage.value.flags == 1 => {}
        _ => return Err(broken("key usage is not digitalSignature alone, critical")),
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage))
            if usage.critical
                && usage.value.other == [EKU_CREDENTIAL_ISSUER]
                && !any_standard_usage(usage.value) => {}
        _ => {
            return Err(broken(
                "extended key usage is not credential issuer alone, critical",
            ));
        }
    }
    let unknown = |extension: &x509_parser::prelude::X509Extension<'_>| {
        extension.critical
            && matches!(
                extension.parsed_extension(),
                ParsedExtension::UnsupportedExtension { .. }
            )
            && extension.oid != SCOPE_EXTENSION
    };
    if certificate.extensions().iter().any(unknown) {
        return Err(broken("unknown critical extension"));
    }
    Ok(())
}

fn any_standard_usage(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool {
    usage.any
        || usage.server_auth
        || usage.client_auth
        || usage.code_signing
        || usage.email_protection
        || usage.time_stamping
        || usage.ocsp_signing
}

fn scope(certificate: &X509Certificate<'_>) -> Result<(Operator, u32), CertificateRefusal> {
    let broken = |rule| refused(certificate, rule);
    let extension = certificate
        .get_extension_unique(&SCOPE_EXTENSION)
        .map_err(|_| broken("more than one scope"))?
        .ok_or_else(|| broken("no scope"))?;
    read_scope(extension.value).ok_or_else(|| broken("the scope is not an operator and classes"))
}

fn read_scope(der: &[u8]) -> Option<(Operator, u32)> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    let (inner, operator) = Utf8String::from_der(&sequence.content).ok()?;
    let (end, classes) = Integer::from_der(inner).ok()?;
    let whole = rest.is_empty() && end.is_empty();
    let operator = Operator::new(operator.as_ref())?;
    whole.then_some((operator, classes.as_u32().ok()?))
}

fn validity(certificate: &X509Certificate<'_>) -> Result<Validity, CertificateRefusal> {
    let seconds = |time: x509_parser::time::ASN1Time| {
        u32::try_from(time.timestamp())
            .map(UnixTime)
            .map_err(|_| refused(certificate, "validity outside 1970 to 2106"))
    };
    let validity = certificate.validity();
    Ok(Validity {
        not_before: seconds(validity.not_before)?,
        not_after: seconds(validity.not_after)?,
    })
}

fn public_key<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<(Algorithm, &'a [u8]), CertificateRefusal> {
    let info = certificate.public_key();
    let curve = info
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok());
    let algorithm = match curve {
        _ if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY => None,
        Some(curve) if curve == OID_NIST_EC_P384 => Some(Algorithm::Esp384),
        Some(curve) if curve == OID_EC_P256 => Some(Algorithm::Esp256),
        _ => None,
    };
    let algorithm =
        algorithm.ok_or_else(|| refused(certificate, "the key is not on P-384 or P-256"))?;
    Ok((algorithm, &info.subject_public_key.data))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateRefusal> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| unreadable("not an X.509 certificate"))?;
    if !rest.is_empty() {
        return Err(unreadable("bytes behind the certificate"));
    }
    Ok(certificate)
}

fn unreadable(rule: &'static str) -> CertificateRefusal {
    CertificateRefusal {
        subject: String::from("?"),
        rule,
    }
}

fn refused(certificate: &X509Certificate<'_>, rule: &'static str) -> CertificateRefusal {
    use std::string::ToString;
    CertificateRefusal {
        subject: certificate.subject().to_string(),
        rule,
    }
}
