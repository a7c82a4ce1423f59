//! Certification requests (PKCS #10, RFC 2986) for identities.

use std::net::IpAddr;

use rcgen::SanType;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::public_key::{Curve, PublicKey};
use crate::x509::one_pem_block;
use crate::x509::scope::is_name;

/// Most DNS names and addresses of one server.
const SERVER_NAMES_MAX: usize = 16;
const ROLES: [&str; 3] = ["platform", "issuer", "terminal"];

/// What an identity certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityProfile {
    /// A service: serverAuth and clientAuth, because services call each other; DNS names and
    /// addresses as requested; roles `platform` and `issuer`.
    Server,
    /// A client only: clientAuth, no DNS name, no address; roles `platform` and `issuer`.
    Client,
    /// A terminal: clientAuth, no DNS name, no address; role `terminal`.
    Terminal,
}

/// A request whose form, key and self-signature were checked.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    pub(super) public: PublicKey,
    role: String,
    name: String,
    server_names: Vec<SanType>,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not one PEM block with a DER request.
    #[error("not exactly one PEM block CERTIFICATE REQUEST with a DER request in it")]
    NotARequest,
    /// Identities are P-256 keys.
    #[error("the request's key is not an uncompressed P-256 key")]
    Key,
    /// Keys of the hierarchy are P-256 or P-384.
    #[error("the request's key is not an uncompressed P-256 or P-384 key")]
    NotAKnownKey,
    /// A key of the hierarchy asks for one common name and nothing else.
    #[error("the request asks for more than one common name, or for none")]
    NotOneName,
    /// The requester does not hold the key.
    #[error("the request is not signed by its own key")]
    SelfSignature,
    /// Exactly one URI names the identity.
    #[error("the request has {0} URI names, wanted exactly one")]
    UriCount(usize),
    /// The URI is not one of this house.
    #[error(
        "name {0:?} is not obol://ROLE/NAME with a role of platform, issuer, terminal and a name of 1 to 32 of a-z, 0-9 and -"
    )]
    Uri(String),
    /// A name of a kind that no profile knows.
    #[error("the request asks for a name that is neither URI nor DNS name nor IP address")]
    NameKind,
    /// DNS names and addresses must be well-formed and few.
    #[error(
        "the request has more than {SERVER_NAMES_MAX} DNS names and addresses, or one that is malformed"
    )]
    ServerNames,
    /// Only servers have DNS names and addresses.
    #[error("the request has DNS names or addresses, which only the server profile allows")]
    NotAServer,
    /// The role does not fit the profile.
    #[error("role {role:?} does not fit the {profile:?} profile")]
    Role {
        /// Role of the request's URI.
        role: String,
        /// Profile asked for.
        profile: IdentityProfile,
    },
}

impl CertificateRequest {
    /// Reads one PEM request: P-256 key, valid self-signature, exactly one `obol://ROLE/NAME`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn from_pem(pem: &[u8]) -> Result<CertificateRequest, RequestError> {
        let der = one_pem_block(pem, "CERTIFICATE REQUEST").ok_or(RequestError::NotARequest)?;
        let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
            return Err(RequestError::NotARequest);
        };
        let spki = request.certification_request_info.subject_pki.raw;
        let public = PublicKey::from_spki_der(spki)
            .filter(|key| key.curve() == Curve::P256)
            .ok_or(RequestError::Key)?;
        request
            .verify_signature()
            .map_err(|_| RequestError::SelfSignature)?;
        let (uris, server_names) = requested_names(&request)?;
        let [uri] = uris.as_slice() else {
            return Err(RequestError::UriCount(uris.len()));
        };
        let (role, name) = role_and_name(uri).ok_or_else(|| RequestError::Uri(uri.clone()))?;
        Ok(CertificateRequest {
            public,
            role,
            name,
            server_names,
        })
    }

    /// `obol://ROLE/NAME`.
    pub fn uri(&self) -> String {
        format!("obol://{}/{}", self.role, self.name)
    }

    /// The requested key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn common_name(&self) -> String {
        format!("{} {}", self.role, self.name)
    }

    pub(super) fn names_for(&self, profile: IdentityProfile) -> Result<Vec<SanType>, RequestError> {
        let terminal = self.role == "terminal";
        if terminal != (profile == IdentityProfile::Terminal) {
            return Err(RequestError::Role {
                role: self.role.clone(),
                profile,
            });
        }
        if profile != IdentityProfile::Server && !self.server_names.is_empty() {
            return Err(RequestError::NotAServer);
        }
        let uri = self.uri();
        let uri = uri
            .as_str()
            .try_into()
            .map_err(|_| RequestError::Uri(uri.clone()))?;
        let mut names = vec![SanType::URI(uri)];
        names.extend(self.server_names.iter().cloned());
        Ok(names)
    }
}

fn requested_names(
    request: &X509CertificationRequest<'_>,
) -> Result<(Vec<String>, Vec<SanType>), RequestError> {
    let (mut uris, mut server_names) = (Vec::new(), Vec::new());
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else {
            continue;
        };
        for name in &names.general_names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => server_names.push(dns_name(name)?),
                GeneralName::IPAddress(octets) => server_names.push(address(octets)?),
                _ => return Err(RequestError::NameKind),
            }
        }
    }
    if server_names.len() > SERVER_NAMES_MAX {
        return Err(RequestError::ServerNames);
    }
    Ok((uris, server_names))
}

/// Letter-digit-hyphen labels (RFC 5890 section 2.3.1), lower case, no wildcard.
fn dns_name(name: &str) -> Result<SanType, RequestError> {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err(RequestError::ServerNames);
    }
    name.try_into()
        .map(SanType::DnsName)
        .map_err(|_| RequestError::ServerNames)
}

fn address(octets: &[u8]) -> Result<SanType, RequestError> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6)
        .map(SanType::IpAddress)
        .map_err(|_| RequestError::ServerNames)
}

pub(super) fn role_and_name(uri: &str) -> Option<(String, String)> {
    let (role, name) = uri.strip_prefix("obol://")?.split_once('/')?;
    (ROLES.contains(&role) && is_name(name)).then(|| (role.to_owned(), name.to_owned()))
}
