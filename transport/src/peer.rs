use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

const MAX_NAME: usize = 32;

/// Why a certificate names no member of an Obol deployment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    /// Not X.509, or bytes follow it.
    #[error("the certificate does not parse")]
    Unparsable,
    /// The subject alternative name must hold exactly one URI.
    #[error("the certificate names {0} URIs instead of one")]
    UriCount(usize),
    /// The URI is not `obol://ROLE/NAME`.
    #[error("the certificate's URI {0:?} is not obol://ROLE/NAME")]
    BadUri(String),
    /// Another role was expected on the other side.
    #[error("the certificate is of the role {found:?}, not {expected:?}")]
    WrongRole {
        /// The certificate's role.
        found: String,
        /// The role that was expected.
        expected: String,
    },
}

/// Who is on the other side of an mTLS connection, by its certificate.
///
/// The chain is valid; whether this key is registered is for the service to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The whole URI, `obol://ROLE/NAME`.
    pub uri: String,
    /// `platform`, `issuer` or `terminal`: `[a-z-]{1,32}`.
    pub role: String,
    /// `[a-z0-9-]{1,32}`.
    pub name: String,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// The DER SubjectPublicKeyInfo: what the peer signs outside of TLS must be signed by this key.
    pub spki_der: Vec<u8>,
}

impl Peer {
    /// The role in `obol://ROLE/NAME`; `None` for anything else.
    #[must_use]
    pub fn role_of(uri: &str) -> Option<&str> {
        role_and_name(uri).map(|(role, _)| role)
    }

    /// Reads the identity from a DER certificate whose chain somebody else has checked.
    ///
    /// # Errors
    /// [`PeerError`] when there is not exactly one well-formed URI.
    pub fn from_certificate(der: &[u8]) -> Result<Self, PeerError> {
        let certificate = parse(der)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PeerError::Unparsable)?;
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let uris: Vec<&str> = names
            .unwrap_or(&[])
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris[..] else {
            return Err(PeerError::UriCount(uris.len()));
        };
        let (role, name) = role_and_name(uri).ok_or_else(|| PeerError::BadUri(uri.to_owned()))?;
        Ok(Self {
            uri: uri.to_owned(),
            role: role.to_owned(),
            name: name.to_owned(),
            spki: Sha256::digest(certificate.public_key().raw).into(),
            spki_der: certificate.public_key().raw.to_vec(),
        })
    }
}

/// SHA-256 of a DER certificate's SubjectPublicKeyInfo.
///
/// # Errors
/// [`PeerError::Unparsable`].
pub fn spki_id(certificate: &[u8]) -> Result<[u8; 32], PeerError> {
    Ok(Sha256::digest(parse(certificate)?.public_key().raw).into())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PeerError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(PeerError::Unparsable),
    }
}

pub(crate) fn role_and_name(uri: &str) -> Option<(&str, &str)> {
    let (role, name) = uri.strip_prefix("obol://")?.split_once('/')?;
    let role_fits = fits(role, |byte| matches!(byte, b'a'..=b'z' | b'-'));
    let name_fits = fits(
        name,
        |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'),
    );
    (role_fits && name_fits).then_some((role, name))
}

fn fits(part: &str, allowed: fn(u8) -> bool) -> bool {
    (1..=MAX_NAME).contains(&part.len()) && part.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData, SanType};

    fn certificate(uris: &[&str]) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let uris = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (key, der)
    }

    #[test]
    fn role_name_and_key_are_read_from_the_certificate() {
        let (key, der) = certificate(&["obol://terminal/bus-7"]);
        let peer = Peer::from_certificate(&der).unwrap();
        assert_eq!(
            (peer.role.as_str(), peer.name.as_str()),
            ("terminal", "bus-7")
        );
        assert_eq!(peer.uri, "obol://terminal/bus-7");
        let expected: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
        assert_eq!(peer.spki, expected);
        assert_eq!(spki_id(&der), Ok(expected));
    }

    #[test]
    fn a_certificate_without_exactly_one_uri_names_nobody() {
        let none = certificate(&[]).1;
        assert_eq!(Peer::from_certificate(&none), Err(PeerError::UriCount(0)));
        let two = certificate(&["obol://terminal/a", "obol://platform/b"]).1;
        assert_eq!(Peer::from_certificate(&two), Err(PeerError::UriCount(2)));
    }

    #[test]
    fn a_uri_of_another_shape_names_nobody() {
        let long = format!("obol://terminal/{}", "a".repeat(MAX_NAME + 1));
        for uri in [
            "https://terminal/a",
            "obol://terminal/",
            "obol:///a",
            "obol://terminal/a/b",
            "obol://terminal/A",
            &long,
        ] {
            let der = certificate(&[uri]).1;
            assert_eq!(
                Peer::from_certificate(&der),
                Err(PeerError::BadUri(uri.to_owned()))
            );
        }
    }

    #[test]
    fn bytes_after_a_certificate_are_refused() {
        let (_, mut der) = certificate(&["obol://terminal/a"]);
        der.push(0);
        assert_eq!(Peer::from_certificate(&der), Err(PeerError::Unparsable));
    }
}
