//! Whom this side believes: the access CA, or for as long as one follows the other, several.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::identity::{IdentityError, certificates, wrong_count};
use crate::tls::provider;

/// CA certificates that are believed at a time at most, and lists of them.
pub const ANCHORS_MAX: usize = 4;

/// Why certificates are no trust anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnchorRefused {
    /// None, or more than [`ANCHORS_MAX`].
    #[error("{0} certificates instead of 1 to {ANCHORS_MAX}")]
    Count(usize),
    /// One of them is not what an access CA has.
    #[error("certificate {0} {1}")]
    NotAccessCa(usize, &'static str),
    /// Two of them are one.
    #[error("certificate {0} stands twice")]
    Twice(usize),
}

/// A CA that names services and terminals and has no CA below it (policies/profiles/access-ca.toml).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    point: Vec<u8>,
}

impl CaCertificate {
    fn read(der: CertificateDer<'static>) -> Result<Self, &'static str> {
        let (rest, read) = X509Certificate::from_der(&der).map_err(|_| "does not parse")?;
        if !rest.is_empty() {
            return Err("does not parse");
        }
        let constraints = read.basic_constraints().ok().flatten();
        let constraints = constraints.map(|found| found.value);
        if !constraints.is_some_and(|found| found.ca && found.path_len_constraint == Some(0)) {
            return Err("is not that of a CA without CAs below it (pathLenConstraint 0)");
        }
        let usage = read.key_usage().ok().flatten().map(|found| found.value);
        if !usage.is_some_and(|usage| usage.key_cert_sign() && usage.crl_sign()) {
            return Err("is not for signing certificates and revocation lists");
        }
        let (subject, key) = (read.subject().as_raw().to_vec(), read.public_key());
        let (spki, point) = (key.raw.to_vec(), key.subject_public_key.data.to_vec());
        Ok(Self {
            der,
            subject,
            spki,
            point,
        })
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The public key as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the other certificate is of the same CA: the root may certify one name and key again,
    /// and what either has signed is signed by both.
    #[must_use]
    pub fn is_same_ca(&self, other: &Self) -> bool {
        (&self.subject, &self.spki) == (&other.subject, &other.spki)
    }

    /// Whether this CA has signed that certificate, DER; dates and extensions are not looked at.
    #[must_use]
    pub fn issued(&self, certificate: &[u8]) -> bool {
        let Ok(([], read)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        read.issuer().as_raw() == self.subject
            && signed(
                &self.point,
                read.tbs_certificate.as_ref(),
                &read.signature_value.data,
            )
    }

    /// Whether this CA has signed that revocation list, DER.
    #[must_use]
    pub fn listed(&self, list: &[u8]) -> bool {
        let Ok(([], read)) = CertificateRevocationList::from_der(list) else {
            return false;
        };
        let signature = &read.signature_value.data;
        read.issuer().as_raw() == self.subject
            && signed(&self.point, read.tbs_cert_list.as_ref(), signature)
    }

    /// Whether the root CA, one certificate in a PEM file, has signed this one.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn is_of(&self, root: &Path) -> Result<bool, IdentityError> {
        let found = certificates(root)?;
        let [root] = &found[..] else {
            return Err(wrong_count(root, found.len()));
        };
        Ok(self.is_signed_by(root))
    }

    fn is_signed_by(&self, root: &[u8]) -> bool {
        let (Ok(([], root)), Ok(([], own))) = (
            X509Certificate::from_der(root),
            X509Certificate::from_der(&self.der),
        ) else {
            return false;
        };
        let is_ca = root.basic_constraints().ok().flatten();
        is_ca.is_some_and(|found| found.value.ca)
            && own.issuer().as_raw() == root.subject().as_raw()
            && signed(
                &root.public_key().subject_public_key.data,
                own.tbs_certificate.as_ref(),
                &own.signature_value.data,
            )
    }
}

/// By any algorithm of the one provider: none of them takes another's key or signature.
fn signed(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithms = provider().signature_verification_algorithms.all.iter();
    algorithms.into_iter().any(|algorithm| {
        algorithm
            .verify_signature(point, message, signature)
            .is_ok()
    })
}

/// The access CAs whose certificates are believed: one, or while one follows another up to
/// [`ANCHORS_MAX`].
#[derive(Clone, Debug)]
pub struct TrustAnchor {
    pub(crate) believed: Arc<[Believed]>,
}

/// One CA, judged by itself: another one's list, of the same name even, says nothing of it.
#[derive(Clone, Debug)]
pub(crate) struct Believed {
    ca: CaCertificate,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) list: List,
}

#[derive(Clone, Debug)]
pub(crate) enum List {
    /// Nobody asked for revocation lists.
    NotAsked,
    /// Lists were asked for and this CA has none: nothing of it is believed.
    Missing,
    Of(CertificateRevocationListDer<'static>),
}

impl TrustAnchor {
    /// Loads a PEM file with 1 to [`ANCHORS_MAX`] different certificates of access CAs; two may be of
    /// one CA, whose list then counts for both.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let found = certificates(path)?;
        Self::of_der(found).map_err(|source| match source {
            AnchorRefused::Count(found) => wrong_count(path, found),
            source => IdentityError::BadAnchor {
                path: path.to_owned(),
                source,
            },
        })
    }

    /// The same of DER.
    ///
    /// # Errors
    /// [`AnchorRefused`].
    pub fn of(certificates: Vec<Vec<u8>>) -> Result<Self, AnchorRefused> {
        Self::of_der(certificates.into_iter().map(Into::into).collect())
    }

    fn of_der(found: Vec<CertificateDer<'static>>) -> Result<Self, AnchorRefused> {
        if !(1..=ANCHORS_MAX).contains(&found.len()) {
            return Err(AnchorRefused::Count(found.len()));
        }
        let mut believed = Vec::<Believed>::new();
        for (number, der) in (1..).zip(found) {
            if believed.iter().any(|other| other.ca.der == der) {
                return Err(AnchorRefused::Twice(number));
            }
            let refused = |reason| AnchorRefused::NotAccessCa(number, reason);
            let ca = CaCertificate::read(der.clone()).map_err(refused)?;
            let mut roots = RootCertStore::empty();
            roots.add(der).map_err(|_| refused("does not parse"))?;
            believed.push(Believed {
                ca,
                roots: Arc::new(roots),
                list: List::NotAsked,
            });
        }
        let believed = believed.into();
        Ok(Self { believed })
    }

    /// The CAs, in the order of their file.
    pub fn authorities(&self) -> impl ExactSizeIterator<Item = &CaCertificate> {
        self.believed.iter().map(|believed| &believed.ca)
    }

    /// Also refuses what the CAs' revocation lists name: PEM, at most one list of each CA and at
    /// least one. Nothing of a CA whose list is not there is believed. A list past its next update
    /// still counts.
    ///
    /// # Errors
    /// [`IdentityError::BadList`], in particular for a list that none of the CAs has signed.
    pub fn with_crl(self, path: &Path) -> Result<Self, IdentityError> {
        let bad = |reason: String| {
            let path = path.to_owned();
            IdentityError::BadList { path, reason }
        };
        let lists = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
        let lists: Vec<CertificateRevocationListDer<'static>> =
            lists.map_err(|error| bad(error.to_string()))?;
        if !(1..=ANCHORS_MAX).contains(&lists.len()) {
            let found = lists.len();
            return Err(bad(format!("{found} lists instead of 1 to {ANCHORS_MAX}")));
        }
        let mut believed = self.believed.to_vec();
        for one in &mut believed {
            one.list = List::Missing;
        }
        for (number, list) in (1..).zip(lists) {
            let mut of_nobody = true;
            for one in believed.iter_mut().filter(|one| one.ca.listed(&list)) {
                of_nobody = false;
                if let List::Of(_) = one.list {
                    return Err(bad(format!("list {number} is the second of its CA")));
                }
                one.list = List::Of(list.clone());
                one.check().map_err(|error| bad(error.to_string()))?;
            }
            if of_nobody {
                return Err(bad(format!("list {number} is of another CA")));
            }
        }
        let believed = believed.into();
        Ok(Self { believed })
    }
}

impl Believed {
    pub(crate) fn crls(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        match &self.list {
            List::NotAsked | List::Missing => None,
            List::Of(list) => Some(list.clone()),
        }
        .into_iter()
    }

    /// Whether TLS can use the list.
    fn check(&self) -> Result<(), rustls::client::VerifierBuilderError> {
        let (roots, provider) = (Arc::clone(&self.roots), Arc::new(provider().clone()));
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        builder.with_crls(self.crls()).build().map(drop)
    }
}
