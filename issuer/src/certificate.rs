use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, read_limited};
use obol_credential::{Algorithm, Kid, UnixTime};
use obol_kms_client::SpkiId;
use obol_trust::Entry;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{Integer, Sequence, Utf8String};
use x509_parser::der_parser::oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, Oid};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// `SEQUENCE { operator UTF8String, classes INTEGER (0..4294967295) }`.
const SCOPE: Oid<'static> = oid!(1.3.6.1.4.1.59999.1.2);
const PEM_MAX: usize = 16 * 1024;

/// An issuer key's certificate, with what a trust bundle says of it.
///
/// Nothing is verified here: terminals check the certificate against the root they pin. This only
/// makes sure that the bundle repeats the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerCertificate {
    der: Vec<u8>,
    spki: SpkiId,
    algorithm: Algorithm,
    point: Vec<u8>,
    not_before: UnixTime,
    not_after: UnixTime,
    operator: String,
    classes: u32,
}

/// Why a file is no issuer key's certificate.
#[derive(Debug, Error, Diagnostic)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// It does not hold what it should.
    #[error("{} is no issuer certificate: {rule}", path.display())]
    #[diagnostic(help("give the PEM certificate that the root issued for an issuer key"))]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        rule: &'static str,
    },
}

impl IssuerCertificate {
    /// Loads one PEM certificate.
    ///
    /// # Errors
    /// [`CertificateError`] with the rule that is broken.
    pub fn load(path: &Path) -> Result<Self, CertificateError> {
        let bytes = read_limited(path, PEM_MAX)?;
        Self::from_pem(&bytes).map_err(|rule| CertificateError::Refused {
            path: path.to_owned(),
            rule,
        })
    }

    pub(crate) fn from_pem(bytes: &[u8]) -> Result<Self, &'static str> {
        let (rest, pem) = parse_x509_pem(bytes).map_err(|_| "not PEM")?;
        if pem.label != "CERTIFICATE" {
            return Err("the PEM block is no certificate");
        }
        if !rest.trim_ascii().is_empty() {
            return Err("something follows the certificate");
        }
        Self::from_der(pem.contents)
    }

    fn from_der(der: Vec<u8>) -> Result<Self, &'static str> {
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| "not X.509")?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate");
        }
        let (operator, classes) = scope(&certificate).ok_or("it has no scope")?;
        let (algorithm, point) = public_key(&certificate)?;
        let validity = certificate.validity();
        let (not_before, not_after) = (seconds(validity.not_before)?, seconds(validity.not_after)?);
        let spki = SpkiId::of(certificate.public_key().raw);
        Ok(Self {
            spki,
            algorithm,
            point,
            not_before,
            not_after,
            operator,
            classes,
            der,
        })
    }

    /// The key's name in the daemon.
    #[must_use]
    pub fn spki(&self) -> SpkiId {
        self.spki
    }

    /// The key's name in credentials.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.spki.kid()
    }

    /// The algorithm of its curve.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// First second at which the key is good.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last second at which the key is good.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Whether the key is good at this second.
    #[must_use]
    pub fn covers(&self, time: UnixTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    /// Whether the certificate's scope has this class, 0 to 31.
    #[must_use]
    pub fn serves(&self, class: u8) -> bool {
        self.classes
            .checked_shr(u32::from(class))
            .is_some_and(|bits| bits & 1 == 1)
    }

    /// What the trust bundle says of the key.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            kid: self.kid(),
            algorithm: self.algorithm,
            point: &self.point,
            not_before: self.not_before,
            not_after: self.not_after,
            operator: &self.operator,
            classes: self.classes,
            certificate: &self.der,
        }
    }
}

fn scope(certificate: &X509Certificate<'_>) -> Option<(String, u32)> {
    let extension = certificate.get_extension_unique(&SCOPE).ok()??;
    let (rest, sequence) = Sequence::from_der(extension.value).ok()?;
    let (inner, operator) = Utf8String::from_der(&sequence.content).ok()?;
    let (end, classes) = Integer::from_der(inner).ok()?;
    let whole = rest.is_empty() && end.is_empty();
    whole.then_some((operator.string(), classes.as_u32().ok()?))
}

fn public_key(certificate: &X509Certificate<'_>) -> Result<(Algorithm, Vec<u8>), &'static str> {
    let info = certificate.public_key();
    let curve = info
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok());
    let (algorithm, coordinate) = match curve {
        Some(curve) if curve == OID_NIST_EC_P384 => (Algorithm::Esp384, 48),
        Some(curve) if curve == OID_EC_P256 => (Algorithm::Esp256, 32),
        _ => return Err("its key is not on P-384 or P-256"),
    };
    let point = compressed(&info.subject_public_key.data, coordinate);
    Ok((algorithm, point.ok_or("its key is no uncompressed point")?))
}

/// SEC 1 section 2.3.3: the sign of y stands in the first byte.
fn compressed(point: &[u8], coordinate: usize) -> Option<Vec<u8>> {
    let [4, xy @ ..] = point else { return None };
    if xy.len() != 2 * coordinate {
        return None;
    }
    let (x, y) = xy.split_at(coordinate);
    let sign = 2 + (y.last()? & 1);
    Some([&[sign], x].concat())
}

fn seconds(time: ASN1Time) -> Result<UnixTime, &'static str> {
    u32::try_from(time.timestamp())
        .map(UnixTime)
        .map_err(|_| "its validity is not 1970 to 2106")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ED25519};
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData};

    /// DER of `SEQUENCE { UTF8String "x", INTEGER 4294967295 }`: every class.
    pub(crate) const EVERY_CLASS: &[u8] = b"\x30\x0a\x0c\x01x\x02\x05\x00\xff\xff\xff\xff";

    pub(crate) fn certificate(key: &KeyPair, scopes: &[&[u8]]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.not_before = time::OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let oid = [1, 3, 6, 1, 4, 1, 59999, 1, 2];
        let extension = |der: &&[u8]| CustomExtension::from_oid_content(&oid, der.to_vec());
        params.custom_extensions = scopes.iter().map(extension).collect();
        params.self_signed(key).unwrap().pem().into_bytes()
    }

    #[test]
    fn the_entry_repeats_the_certificate_on_either_curve() {
        let curves = [
            (&PKCS_ECDSA_P384_SHA384, Algorithm::Esp384, 48),
            (&PKCS_ECDSA_P256_SHA256, Algorithm::Esp256, 32),
        ];
        for (kind, algorithm, coordinate) in curves {
            let key = KeyPair::generate_for(kind).unwrap();
            let read = IssuerCertificate::from_pem(&certificate(&key, &[EVERY_CLASS])).unwrap();
            let entry = read.entry();
            assert_eq!(
                (entry.algorithm, entry.operator, entry.classes),
                (algorithm, "x", u32::MAX)
            );
            assert_eq!(entry.not_before, UnixTime(1_700_000_000));
            assert_eq!(entry.not_after, UnixTime(1_800_000_000));
            let point = key.public_key_raw();
            assert_eq!(entry.point[1..], point[1..=coordinate]);
            assert_eq!(entry.point[0], 2 + (point[2 * coordinate] & 1));
            assert_eq!(read.spki(), SpkiId::of(&key.subject_public_key_info()));
            assert!(read.serves(31) && !read.serves(32));
        }
    }

    #[test]
    fn a_file_that_is_no_issuer_certificate_is_refused_with_the_rule() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let rule = |pem: &[u8]| IssuerCertificate::from_pem(pem).unwrap_err();
        let good = certificate(&key, &[EVERY_CLASS]);
        assert_eq!(rule(b""), "not PEM");
        assert_eq!(
            rule(key.serialize_pem().as_bytes()),
            "the PEM block is no certificate"
        );
        assert_eq!(
            rule(&[good.as_slice(), &good].concat()),
            "something follows the certificate"
        );
        assert_eq!(rule(&certificate(&key, &[])), "it has no scope");
        assert_eq!(
            rule(&certificate(&key, &[EVERY_CLASS, EVERY_CLASS])),
            "it has no scope"
        );
        assert_eq!(
            rule(&certificate(&key, &[&EVERY_CLASS[..8]])),
            "it has no scope"
        );
        let edwards = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let pem = certificate(&edwards, &[EVERY_CLASS]);
        assert_eq!(rule(&pem), "its key is not on P-384 or P-256");
    }
}
