use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use tokio::sync::watch;

use crate::anchor::{Believed, List, TrustAnchor};
use crate::identity::Identity;
use crate::peer::{Peer, PeerError};

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// A certificate of these CAs with one `obol://` URI, or no connection.
    Required(TrustAnchor),
    /// The same where a client shows a certificate; who shows none may connect too.
    Optional(TrustAnchor),
    /// Anybody may connect: phones and banks authenticate by signatures inside.
    None,
}

/// What a server shows, and whom it lets in.
#[derive(Clone, Debug)]
pub struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    members: Option<Arc<MemberVerifier>>,
}

/// A server's TLS that is replaced while it serves: new connections get the new one, and whoever it
/// would not let in is disconnected. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct LiveTls(Arc<watch::Sender<ServerTls>>);

impl LiveTls {
    /// Begins with `tls`.
    #[must_use]
    pub fn new(tls: ServerTls) -> Self {
        Self(Arc::new(watch::Sender::new(tls)))
    }

    /// Replaces identity, trust anchor and revocation list from now on.
    pub fn replace(&self, tls: ServerTls) {
        self.0.send_replace(tls);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<ServerTls> {
        self.0.subscribe()
    }
}

impl From<ServerTls> for LiveTls {
    fn from(tls: ServerTls) -> Self {
        Self::new(tls)
    }
}

/// TLS 1.3 for [`crate::serve`]; HTTP/2 and HTTP/1.1 by ALPN.
///
/// Sessions are not resumed, so that each connection shows its certificate and is judged by today's
/// date.
#[must_use]
pub fn server_config(identity: Identity, clients: ClientAuth) -> ServerTls {
    let builder = ServerConfig::builder_with_provider(shared_provider())
        .with_protocol_versions(&[&TLS13])
        .expect("aws-lc-rs has suites for TLS 1.3");
    let members = match clients {
        ClientAuth::Required(anchor) => Some(MemberVerifier::new(&anchor, Absent::Refused)),
        ClientAuth::Optional(anchor) => Some(MemberVerifier::new(&anchor, Absent::LetIn)),
        ClientAuth::None => None,
    };
    let members = members.map(Arc::new);
    let builder = match &members {
        Some(members) => {
            let members: Arc<dyn ClientCertVerifier> = Arc::<MemberVerifier>::clone(members);
            builder.with_client_cert_verifier(members)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    ServerTls {
        config: Arc::new(config),
        members,
    }
}

impl ServerTls {
    /// Judges the certificate of a connection that is open already.
    pub(crate) fn still_welcome(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let (Some(members), Some((leaf, rest))) = (&self.members, chain.split_first()) else {
            return Ok(());
        };
        let now = UnixTime::now();
        members.verify_client_cert(leaf, rest, now).map(drop)
    }
}

/// TLS 1.3 for a client; with `role`, a server of any other role is refused though its chain is
/// valid.
pub(crate) fn client_config(
    anchor: &TrustAnchor,
    identity: Option<Identity>,
    role: Option<&str>,
) -> ClientConfig {
    let chains = anchor.believed.iter().map(|believed| {
        let roots = Arc::clone(&believed.roots);
        let chain = WebPkiServerVerifier::builder_with_provider(roots, shared_provider())
            .with_crls(believed.crls())
            .build()
            .expect("it holds a certificate, and its list was read before");
        Chain::of(believed, chain)
    });
    let verifier = RoleVerifier {
        chains: chains.collect(),
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

/// The verifier of one CA.
#[derive(Debug)]
struct Chain<V: ?Sized> {
    list: Listed,
    verifier: Arc<V>,
}

#[derive(Clone, Copy, Debug)]
enum Listed {
    AsAsked,
    /// Nobody knows which of its certificates are revoked.
    Missing,
}

impl<V: ?Sized> Chain<V> {
    fn of(believed: &Believed, verifier: Arc<V>) -> Self {
        let list = match believed.list {
            List::NotAsked | List::Of(_) => Listed::AsAsked,
            List::Missing => Listed::Missing,
        };
        Self { list, verifier }
    }
}

/// Of the first CA that says yes; else what the certificate's own CA says, as far as it is known.
fn judged<V: ?Sized, T>(
    chains: &[Chain<V>],
    judge: impl Fn(&V) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    for chain in chains {
        match (judge(&chain.verifier), chain.list) {
            (Ok(verified), Listed::AsAsked) => return Ok(verified),
            (Ok(_), Listed::Missing) => {
                refused = Error::InvalidCertificate(CertificateError::UnknownRevocationStatus);
            }
            (Err(error), _) if is_of_another(&refused) => refused = error,
            (Err(_), _) => {}
        }
    }
    Err(refused)
}

fn is_of_another(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    )
}

/// The chain by webpki, then the URI, so that a certificate that names nobody ends in an alert too.
#[derive(Debug)]
struct MemberVerifier {
    chains: Vec<Chain<dyn ClientCertVerifier>>,
    subjects: Vec<DistinguishedName>,
    absent: Absent,
}

/// What becomes of a client that shows no certificate.
#[derive(Clone, Copy, Debug)]
enum Absent {
    Refused,
    LetIn,
}

impl MemberVerifier {
    fn new(anchor: &TrustAnchor, absent: Absent) -> Self {
        let chains = anchor.believed.iter().map(|believed| {
            let roots = Arc::clone(&believed.roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, shared_provider())
                .with_crls(believed.crls())
                .build()
                .expect("it holds a certificate, and its list was read before");
            Chain::of(believed, verifier)
        });
        let subjects = anchor.believed.iter();
        let subjects = subjects.flat_map(|believed| believed.roots.subjects());
        Self {
            subjects: subjects.collect(),
            chains: chains.collect(),
            absent,
        }
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn client_auth_mandatory(&self) -> bool {
        matches!(self.absent, Absent::Refused)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = judged(&self.chains, |chain| {
            chain.verify_client_cert(leaf, intermediates, now)
        })?;
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
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The chain and the host name by webpki, then the role.
#[derive(Debug)]
struct RoleVerifier {
    chains: Vec<Chain<WebPkiServerVerifier>>,
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
        let verified = judged(&self.chains, |chain| {
            chain.verify_server_cert(leaf, intermediates, host, ocsp, now)
        })?;
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
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn not_a_member(reason: PeerError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}
