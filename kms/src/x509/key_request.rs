//! Certification requests (PKCS #10, RFC 2986) of the hierarchy's own keys: they travel from an
//! online token to the root's.

use rcgen::{CertificateParams, DistinguishedName, DnType};
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::keys::Key;
use crate::public_key::PublicKey;
use crate::token::Token;
use crate::x509::pen::{Desk, Pen, TokenDesk};
use crate::x509::{CertificateError, RequestError, one_pem_block, to_pem};

const LABEL: &str = "CERTIFICATE REQUEST";

/// A request that a key of a token has signed: it names the key and one common name, and asks for
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    der: Vec<u8>,
    public: PublicKey,
    common_name: String,
}

impl KeyRequest {
    /// Has `key` sign a request for `common_name`.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn create(
        token: &Token,
        key: &Key,
        common_name: &str,
    ) -> Result<KeyRequest, CertificateError> {
        let desk = TokenDesk { token, key };
        let sign = |message: &[u8]| desk.sign(message);
        let pen = Pen::new(key.public(), &sign);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, common_name);
        let request = params
            .serialize_request(&pen)
            .map_err(|error| pen.explain(error))?;
        let pem = to_pem(LABEL, request.der());
        Ok(KeyRequest::from_pem(pem.as_bytes())?)
    }

    /// Reads one PEM request: a key on a known curve, its own signature, one common name, no
    /// attributes.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_pem(pem: &[u8]) -> Result<KeyRequest, RequestError> {
        let der = one_pem_block(pem, LABEL).ok_or(RequestError::NotARequest)?;
        let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
            return Err(RequestError::NotARequest);
        };
        let info = &request.certification_request_info;
        let public =
            PublicKey::from_spki_der(info.subject_pki.raw).ok_or(RequestError::NotAKnownKey)?;
        request
            .verify_signature()
            .map_err(|_| RequestError::SelfSignature)?;
        let asks_more = request
            .requested_extensions()
            .is_some_and(|mut all| all.next().is_some());
        let single = info.subject.iter_attributes().count() == 1 && !asks_more;
        let name = info.subject.iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok()).filter(|_| single);
        let common_name = name.ok_or(RequestError::NotOneName)?.to_owned();
        drop(request);
        Ok(KeyRequest {
            public,
            common_name,
            der,
        })
    }

    /// PEM text with a newline at its end.
    pub fn to_pem(&self) -> String {
        to_pem(LABEL, &self.der)
    }

    /// The key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The name asked for.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }
}
