use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};

use crate::identity::{Identity, TrustAnchor};
use crate::peer::{Peer, PeerError};

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// A certificate of this CA with one `obol://` URI, or no connection.
    Required(TrustAnchor),
    /// Anybody may connect: phones and banks authenticate by signatures inside.
    None,
}

/// TLS 1.3 for [`crate::serve`]; HTTP/2 and HTTP/1.1 by ALPN.
///
/// Sessions are not resumed, so that each connection shows its certificate and is judged by today's
/// date.
#[must_use]
pub fn server_config(identity: Identity, clients: ClientAuth) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(shared_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("aws-lc-rs has suites for TLS 1.3");
    let builder = match clients {
        ClientAuth::Required(anchor) => {
            builder.with_client_cert_verifier(Arc::new(MemberVerifier::new(&anchor)))
        }
        ClientAuth::None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// TLS 1.3 for a client; with `role`, a server of any other role is refused though its chain is
/// valid.
pub(crate) fn client_config(
    anchor: &TrustAnchor,
    identity: Option<Identity>,
    role: Option<&str>,
) -> ClientConfig {
    let chain =
        WebPkiServerVerifier::builder_with_provider(anchor.roots.clone(), shared_provider())
            .build()
            .expect("a trust anchor holds one certificate");
    let verifier = RoleVerifier {
        chain,
        role: role.map(str::to_owned),
    };
    let builder = ClientConfig::builder_with_provider(shared_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("aws-lc-rs has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified)))
        }
        None => builder.with_no_client_auth(),
    }
}

pub(crate) fn provider() -> &'static CryptoProvider {
    static PROVIDER: std::sync::LazyLock<CryptoProvider> =
        std::sync::LazyLock::new(aws_lc_rs::default_provider);
    &PROVIDER
}

fn shared_provider() -> Arc<CryptoProvider> {
    Arc::new(provider().clone())
}

/// The chain by webpki, then the URI, so that a certificate that names nobody ends in an alert too.
#[derive(Debug)]
struct MemberVerifier {
    chain: Arc<dyn ClientCertVerifier>,
}

impl MemberVerifier {
    fn new(anchor: &TrustAnchor) -> Self {
        let chain =
            WebPkiClientVerifier::builder_with_provider(anchor.roots.clone(), shared_provider())
                .build()
                .expect("a trust anchor holds one certificate");
        Self { chain }
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        Peer::from_certificate(leaf).map_err(not_a_member)?;
        Ok(verified)
    }

    // The server offers TLS 1.3 alone; this is never asked.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The chain and the host name by webpki, then the role.
#[derive(Debug)]
struct RoleVerifier {
    chain: Arc<WebPkiServerVerifier>,
    role: Option<String>,
}

impl ServerCertVerifier for RoleVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .chain
            .verify_server_cert(leaf, intermediates, host, ocsp, now)?;
        if let Some(expected) = &self.role {
            let found = Peer::from_certificate(leaf).map_err(not_a_member)?.role;
            if found != *expected {
                return Err(not_a_member(PeerError::WrongRole {
                    found,
                    expected: expected.clone(),
                }));
            }
        }
        Ok(verified)
    }

    // The client offers TLS 1.3 alone; this is never asked.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn not_a_member(reason: PeerError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}
