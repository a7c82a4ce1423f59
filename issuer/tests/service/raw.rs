//! A TLS client that sends any bytes.

use std::sync::Arc;
use std::time::Duration;

use obol_transport::Identity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Leaf, World};

/// Long enough for any machine; nothing waits for it in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Raw(pub(crate) TlsStream<TcpStream>);

impl World {
    /// A registered platform and the files of its certificate.
    pub(crate) fn platform_leaf(&self) -> (Identity, Leaf) {
        let identity = self.identity("platform", "obol://platform/main");
        let read = |name: &str| std::fs::read(self.path(name)).unwrap();
        let certificate = CertificateDer::from_pem_slice(&read("platform.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("platform.key")).unwrap();
        let leaf = Leaf {
            certificate: certificate.to_vec(),
            key: key.secret_der().to_vec(),
        };
        (identity, leaf)
    }
}

impl Raw {
    /// Connects and shows `leaf`, if there is one. Over TLS 1.3 a client is done before the server
    /// has judged it.
    pub(crate) async fn connect(
        world: &World,
        base: &str,
        leaf: Option<&Leaf>,
        protocol: &str,
    ) -> Raw {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(world.path("access.pem")).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match leaf {
            Some(leaf) => {
                let key = PrivateKeyDer::try_from(leaf.key.clone()).unwrap();
                let chain = vec![CertificateDer::from(leaf.certificate.clone())];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let address = base.trim_start_matches("https://");
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Raw(connector.connect(name, stream).await.unwrap())
    }

    /// Sends everything, and reads until the server closes.
    pub(crate) async fn exchange(mut self, bytes: &[u8]) -> String {
        // The server may answer and close before it has read everything.
        self.0.write_all(bytes).await.ok();
        self.0.flush().await.ok();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut answer)).await;
        read.expect("the server closes").ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The alert with which the server ends the connection.
    pub(crate) async fn alert(mut self) -> AlertDescription {
        self.0
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .ok();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut answer)).await;
        let error = read.expect("the server closes").unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("{error:?}: {answer:?}"),
        }
    }
}
