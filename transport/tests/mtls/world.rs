//! A CA, the files it issues, and a server on a real socket.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::routing::{get, post};
use axum::{Extension, Router};
use obol_transport::{
    Bytes, ClientAuth, HttpsClient, Identity, IdentityError, Limits, LiveTls, Peer, TrustAnchor,
    new_identity, serve_within, server_config,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A CA's name and what its certificate is for; as an access CA has it.
pub(crate) fn access_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        Self::of(access_params("access"))
    }

    pub(crate) fn of(params: CertificateParams) -> Self {
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("access.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::load(&self.folder.path().join("access.pem")).unwrap()
    }

    /// This CA by another certificate too, for the same name and key.
    pub(crate) fn certified_twice(&self) -> TrustAnchor {
        let again = access_params("access").self_signed(self.issuer.key());
        let path = self.folder.path().join("twice.pem");
        std::fs::write(&path, [self.pem(), again.unwrap().pem()].concat()).unwrap();
        TrustAnchor::load(&path).unwrap()
    }

    /// One file with all of these CAs.
    pub(crate) fn together(&self, others: &[&Ca]) -> Result<TrustAnchor, IdentityError> {
        let all = [&[self], others].concat();
        let path = self.folder.path().join("all.pem");
        std::fs::write(&path, all.iter().map(|ca| ca.pem()).collect::<String>()).unwrap();
        TrustAnchor::load(&path)
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, uri: &str) -> Identity {
        let (certificate, key) = self.files(uri);
        Identity::load(&certificate, &key).unwrap()
    }

    pub(crate) fn files(&self, uri: &str) -> (PathBuf, PathBuf) {
        let made = new_identity(uri, &["localhost", "127.0.0.1"]).unwrap();
        let request = CertificateSigningRequestParams::from_pem(&made.request_pem).unwrap();
        let name = uri.replace(['/', ':'], "_");
        let certificate = self.folder.path().join(format!("{name}.pem"));
        let key = self.folder.path().join(format!("{name}.key"));
        std::fs::write(&certificate, request.signed_by(&self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&key, made.key_pem.as_bytes()).unwrap();
        (certificate, key)
    }

    pub(crate) fn client_without_uri(&self) -> HttpsClient {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let issued = params.signed_by(&key, &self.issuer).unwrap();
        let [certificate, private] =
            ["nobody.pem", "nobody.key"].map(|n| self.folder.path().join(n));
        std::fs::write(&certificate, issued.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        HttpsClient::new(
            &self.anchor(),
            Some(Identity::load(&certificate, &private).unwrap()),
        )
    }

    pub(crate) fn client(&self, uri: &str) -> HttpsClient {
        HttpsClient::new(&self.anchor(), Some(self.issue(uri)))
    }
}

impl Ca {
    /// A list that names the certificates in these files.
    pub(crate) fn revoke(&self, certificates: &[&PathBuf]) -> PathBuf {
        let now = time::OffsetDateTime::now_utc();
        let entry = |path: &&PathBuf| {
            let pem = std::fs::read(path).unwrap();
            let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
            let serial = pem.parse_x509().unwrap().raw_serial().to_vec();
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            }
        };
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + time::Duration::days(1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: certificates.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.path().join("access.crl.pem");
        std::fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    tls: LiveTls,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(crate) async fn start(ca: &Ca, clients: ClientAuth) -> Self {
        Self::start_within(Limits::default(), ca, clients).await
    }

    pub(crate) async fn start_within(limits: Limits, ca: &Ca, clients: ClientAuth) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let tls = LiveTls::new(server_config(ca.issue("obol://issuer/test"), clients));
        let served = tls.clone();
        let task = tokio::spawn(serve_within(limits, listener, served, routes(), async {
            stopped.await.ok();
            Ok(())
        }));
        Self {
            address,
            tls,
            stop,
            task,
        }
    }

    pub(crate) fn replace_tls(&self, ca: &Ca, clients: ClientAuth) {
        let identity = ca.issue("obol://issuer/test");
        self.tls.replace(server_config(identity, clients));
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn routes() -> Router {
    Router::new()
        .route(
            "/whoami",
            get(|Extension(peer): Extension<Peer>| async move { peer.uri }),
        )
        .route("/open", get(|| async { "open" }))
        .route(
            "/perhaps",
            get(|peer: Option<Extension<Peer>>| async move {
                peer.map_or_else(|| "nobody".to_owned(), |Extension(peer)| peer.uri)
            }),
        )
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(std::time::Duration::from_millis(900)).await;
                "slow"
            }),
        )
        .route(
            "/from",
            get(|ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.to_string() }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
        .route(
            "/small",
            post(|body: Bytes| async move { body }).layer(DefaultBodyLimit::max(8)),
        )
        .route(
            "/huge",
            get(|| async { vec![b' '; obol_transport::MAX_REPLY_BYTES + 1] }),
        )
}

/// What the services log, for the thread of one test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
