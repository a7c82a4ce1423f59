//! What an enrolling member brings: a code and a certificate request.

use std::fmt;

use data_encoding::HEXLOWER;
use obol_transport::Peer;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{OID_EC_P256, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::prelude::FromDer;

/// Life of a code, seconds.
pub const CODE_LIFE_S: u32 = 24 * 3600;
/// A PKCS#10 request at its longest, DER.
pub(crate) const REQUEST_MAX: usize = 4096;
/// Roles that enrol; services with host names are certified by the officer.
const ROLES: [&str; 2] = ["terminal", "platform"];

/// 128 random bits that let one identity enrol once; shown once, kept as a hash.
pub struct Code([u8; 16]);

impl Code {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// For the person who hands it over, and for nobody else.
    #[must_use]
    pub fn reveal(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// What is kept.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// A PKCS#10 request (RFC 2986) whose sender holds its key. Only [`EnrolmentRequest::parse`] makes
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentRequest {
    identity: String,
    point: Vec<u8>,
    spki: [u8; 32],
}

/// Why a request is not certified.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestRefused {
    /// Not PKCS#10, or more than that.
    #[error("the request is no PKCS#10 of at most 4096 bytes")]
    Malformed,
    /// Keys of members are on P-256.
    #[error("the request's key is no point of P-256")]
    Key,
    /// The key did not sign the request by ECDSA with SHA-256.
    #[error("the request is not signed by its own key with ECDSA and SHA-256")]
    Signature,
    /// The name is not one identity of a role that enrols.
    #[error(
        "the request's subjectAltName is not the one URI obol://terminal/… or obol://platform/…"
    )]
    Name,
    /// Names a CA or usages.
    #[error("the request asks for an extension other than subjectAltName")]
    Extension,
}

impl EnrolmentRequest {
    /// Checks form, key, signature and name.
    ///
    /// # Errors
    /// [`RequestRefused`] with the first rule that is broken.
    pub fn parse(der: &[u8]) -> Result<Self, RequestRefused> {
        if der.len() > REQUEST_MAX {
            return Err(RequestRefused::Malformed);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| RequestRefused::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestRefused::Malformed);
        }
        let info = &request.certification_request_info;
        let public = &info.subject_pki;
        let curve = public.algorithm.parameters.as_ref();
        let curve = curve.and_then(|any| any.as_oid().ok());
        let point = public.subject_public_key.data.as_ref();
        let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| RequestRefused::Key)?;
        if curve != Some(OID_EC_P256) || point.first() != Some(&4) {
            return Err(RequestRefused::Key);
        }
        let signature = Signature::from_der(&request.signature_value.data);
        let signature = signature.map_err(|_| RequestRefused::Signature)?;
        let signed = request.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256
            && key.verify(info.raw, &signature).is_ok();
        if !signed {
            return Err(RequestRefused::Signature);
        }
        Ok(Self {
            identity: identity(&request)?,
            point: point.to_vec(),
            spki: Sha256::digest(public.raw).into(),
        })
    }

    /// `obol://ROLE/NAME`.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The key's point, SEC 1, uncompressed.
    #[must_use]
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// SHA-256 of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> [u8; 32] {
        self.spki
    }
}

/// The one name; what a member may do is the profile's to say, not the request's.
fn identity(request: &X509CertificationRequest<'_>) -> Result<String, RequestRefused> {
    let mut names = None;
    for extension in request.requested_extensions().into_iter().flatten() {
        match (extension, &names) {
            (ParsedExtension::SubjectAlternativeName(found), None) => {
                names = Some(&found.general_names);
            }
            _ => return Err(RequestRefused::Extension),
        }
    }
    let Some([GeneralName::URI(uri)]) = names.map(Vec::as_slice) else {
        return Err(RequestRefused::Name);
    };
    let role = Peer::role_of(uri).ok_or(RequestRefused::Name)?;
    if ROLES.contains(&role) {
        Ok((*uri).to_owned())
    } else {
        Err(RequestRefused::Name)
    }
}
