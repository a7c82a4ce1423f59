use std::fmt;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use zeroize::Zeroizing;

use crate::identity::IdentityError;
use crate::peer::role_and_name;

/// A fresh key and the request that takes its public half to the access CA.
pub struct NewIdentity {
    /// PKCS#8 PEM; belongs into a file of mode 0600.
    pub key_pem: Zeroizing<String>,
    /// PKCS#10 PEM (RFC 2986).
    pub request_pem: String,
}

impl fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewIdentity")
            .field("request_pem", &self.request_pem)
            .finish_non_exhaustive()
    }
}

/// Makes a P-256 key and a certificate request for `uri` (`obol://ROLE/NAME`); `hosts` are the DNS
/// names and IP addresses under which a server is reached, none for a client.
///
/// # Errors
/// [`IdentityError::BadUri`], and [`IdentityError::BadName`] when a host is not ASCII.
pub fn new_identity(uri: &str, hosts: &[&str]) -> Result<NewIdentity, IdentityError> {
    role_and_name(uri).ok_or_else(|| IdentityError::BadUri(uri.to_owned()))?;
    let bad_name = |name: &str| {
        let name = name.to_owned();
        |source| IdentityError::BadName { name, source }
    };
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let listed = hosts.join(", ");
    let mut params = CertificateParams::new(hosts).map_err(bad_name(&listed))?;
    params
        .subject_alt_names
        .push(SanType::URI(uri.try_into().map_err(bad_name(uri))?));
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, uri);

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(bad_name(uri))?;
    let request = params
        .serialize_request(&key)
        .and_then(|request| request.pem());
    Ok(NewIdentity {
        key_pem: Zeroizing::new(key.serialize_pem()),
        request_pem: request.map_err(bad_name(uri))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::CertificateSigningRequestParams;

    #[test]
    fn a_request_carries_the_uri_and_the_hosts() {
        let made = new_identity("obol://issuer/main", &["localhost", "127.0.0.1"]).unwrap();
        let request = CertificateSigningRequestParams::from_pem(&made.request_pem).unwrap();
        let names = request.params.subject_alt_names;
        assert!(names.contains(&SanType::URI("obol://issuer/main".try_into().unwrap())));
        assert!(names.contains(&SanType::DnsName("localhost".try_into().unwrap())));
        assert!(names.contains(&SanType::IpAddress([127, 0, 0, 1].into())));
    }

    #[test]
    fn a_name_that_cannot_stand_in_a_certificate_is_refused_with_the_value_seen() {
        let refused = new_identity("obol://issuer/Main", &[]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "\"obol://issuer/Main\" is not obol://ROLE/NAME"
        );
        let refused = new_identity("obol://issuer/main", &["zürich"]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot request a certificate for \"zürich\""
        );
    }

    #[test]
    fn debug_output_shows_no_private_key() {
        let made = new_identity("obol://platform/main", &[]).unwrap();
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
