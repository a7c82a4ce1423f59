//! Revocation, and TLS that is replaced while it serves.

use std::sync::Arc;
use std::time::Duration;

use obol_transport::{ClientAuth, HttpsClient, Identity, IdentityError, TransportError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Ca, Server};

/// Long enough for any machine; nothing waits for it in vain.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_revoked_client_is_refused_by_an_alert_that_says_so_and_others_are_not() {
    let ca = Ca::new();
    let (certificate, key) = ca.files("obol://terminal/stolen");
    let stolen = Identity::load(&certificate, &key).unwrap();
    let list = ca.revoke(&[&certificate]);
    let anchor = ca.anchor().with_crl(&list).unwrap();
    let server = Server::start(&ca, ClientAuth::Required(anchor)).await;
    let refused = HttpsClient::new(&ca.anchor(), Some(stolen))
        .get(&server.url("/whoami"))
        .await
        .unwrap_err();
    let TransportError::CertificateRefused { alert, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(alert, "certificate_revoked");
    let other = ca.client("obol://terminal/other");
    let reply = other.get(&server.url("/whoami")).await.unwrap();
    assert_eq!(reply.body, "obol://terminal/other");
}

#[tokio::test]
async fn a_server_whose_certificate_is_revoked_is_not_trusted() {
    let ca = Ca::new();
    let server = Server::start(&ca, ClientAuth::None).await;
    let (certificate, _) = ca.files("obol://issuer/other");
    let client = |list| HttpsClient::new(&ca.anchor().with_crl(list).unwrap(), None);
    let list = ca.revoke(&[&certificate]);
    client(&list).get(&server.url("/open")).await.unwrap();
    let list = ca.revoke(&[&certificate.with_file_name("obol___issuer_test.pem")]);
    let refused = client(&list).get(&server.url("/open")).await.unwrap_err();
    assert!(
        matches!(refused, TransportError::ServerUntrusted { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_revocation_list_is_refused() {
    let ca = Ca::new();
    let (certificate, _) = ca.files("obol://terminal/a");
    let refused = ca.anchor().with_crl(&certificate).unwrap_err();
    assert!(
        matches!(refused, IdentityError::BadList { .. }),
        "{refused:?}"
    );
}

/// An HTTP/1.1 connection that stays open, with these PEM files.
async fn connected(
    ca: &Ca,
    server: &Server,
    certificate: &std::path::Path,
    key: &std::path::Path,
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 4096];
    let count = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test]
async fn an_open_connection_of_a_client_that_is_revoked_is_closed_and_others_stay() {
    let ca = Ca::new();
    let server = Server::start(&ca, ClientAuth::Required(ca.anchor())).await;
    let (stolen, stolen_key) = ca.files("obol://terminal/stolen");
    let (kept, kept_key) = ca.files("obol://terminal/kept");
    let mut bad = connected(&ca, &server, &stolen, &stolen_key).await;
    let mut good = connected(&ca, &server, &kept, &kept_key).await;
    for stream in [&mut bad, &mut good] {
        assert!(ask(stream).await.starts_with("HTTP/1.1 200"));
    }
    let list = ca.revoke(&[&stolen]);
    let anchor = ca.anchor().with_crl(&list).unwrap();
    server.replace_tls(&ca, ClientAuth::Required(anchor));
    let ended = timeout(PATIENCE, bad.read(&mut [0; 16])).await.unwrap();
    assert_eq!(ended.unwrap_or(0), 0);
    assert!(ask(&mut good).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn where_a_certificate_is_optional_who_shows_none_may_connect_and_a_strangers_is_refused() {
    let (ca, stranger) = (Ca::new(), Ca::new());
    let server = Server::start(&ca, ClientAuth::Optional(ca.anchor())).await;
    let url = server.url("/perhaps");
    let nobody = HttpsClient::new(&ca.anchor(), None)
        .get(&url)
        .await
        .unwrap();
    assert_eq!(nobody.body, "nobody");
    let known = ca.client("obol://terminal/bus-1").get(&url).await.unwrap();
    assert_eq!(known.body, "obol://terminal/bus-1");
    let theirs = stranger.issue("obol://terminal/bus-1");
    let refused = HttpsClient::new(&ca.anchor(), Some(theirs)).get(&url).await;
    // A client offers only certificates that the server's hint names, or the server refuses it.
    match refused {
        Ok(reply) => assert_eq!(reply.body, "nobody"),
        Err(error) => assert!(
            matches!(error, TransportError::CertificateRefused { .. }),
            "{error:?}"
        ),
    }
}
