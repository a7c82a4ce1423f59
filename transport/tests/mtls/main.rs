//! Real sockets, real handshakes: who gets in, who does not, and what each side is told.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod anchors;
mod live;
mod seats;
mod world;

use std::time::{Duration, Instant};

use miette::Diagnostic;
use obol_transport::{
    Bytes, ClientAuth, HttpsClient, Identity, IdentityError, MAX_REQUEST_BYTES, Problem,
    TransportError, TrustAnchor,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Ca, Log, Server};

const NOISE: &[u8] = &[0xa5; 64 * 1024];

async fn mtls_server(ca: &Ca) -> Server {
    Server::start(ca, ClientAuth::Required(ca.anchor())).await
}

fn alert_of(error: TransportError) -> String {
    match error {
        TransportError::CertificateRefused { alert, .. } => alert,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_of_the_access_ca_is_known_by_its_uri() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let reply = ca
        .client("obol://terminal/bus-7")
        .get(&server.url("/whoami"))
        .await
        .unwrap();
    assert_eq!(&reply.body[..], b"obol://terminal/bus-7");
    server.stop().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_reads_which_alert_refused_it() {
    let log = Log::default();
    let _capture = log.capture();
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let url = server.url("/whoami");
    // Many times: the alert races with the request, and it must be found each time.
    for _ in 0..50 {
        let error = HttpsClient::new(&ca.anchor(), None)
            .get(&url)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the server {url} refused this client's certificate (alert certificate_required)"
            )
        );
        assert_eq!(
            error.help().unwrap().to_string(),
            "give this client its certificate and key"
        );
    }
    let text = log.text();
    assert!(
        text.contains("TLS handshake refused address=127.0.0.1:"),
        "{text}"
    );
    assert!(text.contains("reason=peer sent no certificates"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_alert_is_found_whoever_wins_the_race_between_it_and_the_request() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let body = Bytes::from(vec![0; 200_000]);
    for _ in 0..300 {
        let client = HttpsClient::new(&ca.anchor(), None);
        let posted = client
            .post(&server.url("/echo"), "application/cbor", body.clone())
            .await;
        assert_eq!(alert_of(posted.unwrap_err()), "certificate_required");
    }
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_and_the_server_logs_why() {
    let log = Log::default();
    let _capture = log.capture();
    let (ca, other) = (Ca::new(), Ca::new());
    let server = mtls_server(&ca).await;
    let stranger = HttpsClient::new(&ca.anchor(), Some(other.issue("obol://platform/main")));
    let error = stranger.get(&server.url("/whoami")).await.unwrap_err();
    let alert = alert_of(error);
    assert!(
        ["unknown_ca", "decrypt_error"].contains(&alert.as_str()),
        "{alert}"
    );
    assert!(
        log.text()
            .contains("reason=the certificate is not trusted: "),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_refused_by_an_alert() {
    let log = Log::default();
    let _capture = log.capture();
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let error = ca
        .client_without_uri()
        .get(&server.url("/whoami"))
        .await
        .unwrap_err();
    assert_eq!(alert_of(error), "certificate_unknown");
    let reason = "reason=the certificate names 0 URIs instead of one";
    assert!(log.text().contains(reason), "{}", log.text());
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = mtls_server(&ca).await;
    let client = HttpsClient::new(&other.anchor(), Some(ca.issue("obol://terminal/a")));
    match client.get(&server.url("/open")).await.unwrap_err() {
        TransportError::ServerUntrusted { .. } => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_of_another_role_is_not_trusted_by_a_client_that_expects_one() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let identity = ca.issue("obol://terminal/a");
    let right = HttpsClient::expecting("issuer", &ca.anchor(), Some(identity.clone()));
    assert!(right.get(&server.url("/open")).await.is_ok());
    let wrong = HttpsClient::expecting("platform", &ca.anchor(), Some(identity));
    let error = wrong.get(&server.url("/open")).await.unwrap_err();
    let TransportError::ServerUntrusted { reason, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        reason,
        "the certificate is of the role \"issuer\", not \"platform\""
    );
}

#[tokio::test]
async fn a_listener_without_client_authentication_serves_anybody() {
    let ca = Ca::new();
    let server = Server::start(&ca, ClientAuth::None).await;
    let reply = HttpsClient::new(&ca.anchor(), None)
        .get(&server.url("/open"))
        .await
        .unwrap();
    assert_eq!(&reply.body[..], b"open");
}

#[tokio::test]
async fn a_stalled_handshake_delays_nobody_else() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let mut stalled = Vec::new();
    for _ in 0..32 {
        stalled.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = ca.client("obol://terminal/a");
    let begun = Instant::now();
    client.get(&server.url("/whoami")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));

    // The server ends a handshake that never begins.
    let ended = tokio::time::timeout(Duration::from_secs(8), stalled[0].read(&mut [0; 8])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))));
}

#[tokio::test]
async fn noise_instead_of_a_handshake_is_logged_and_harms_nobody() {
    let log = Log::default();
    let _capture = log.capture();
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(NOISE).await.ok();
    stream.read_to_end(&mut Vec::new()).await.ok();
    assert!(
        log.text().contains("TLS handshake refused"),
        "{}",
        log.text()
    );
    ca.client("obol://terminal/a")
        .get(&server.url("/whoami"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_body_larger_than_the_limit_is_a_413_problem() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let client = ca.client("obol://terminal/a");
    let body = Bytes::from(vec![0; MAX_REQUEST_BYTES + 1]);
    let reply = client
        .post(&server.url("/echo"), "application/cbor", body)
        .await
        .unwrap();
    assert_eq!(
        (reply.status.as_u16(), reply.content_type.as_str()),
        (413, "application/problem+json")
    );
    assert_eq!(reply.success().unwrap_err().code, "body-too-large");

    let fits = Bytes::from(vec![7; 8]);
    let reply = client
        .post(&server.url("/small"), "application/cbor", fits.clone())
        .await
        .unwrap();
    assert_eq!(reply.success().unwrap().body, fits);
    let reply = client
        .post(
            &server.url("/small"),
            "application/cbor",
            Bytes::from(vec![7; 9]),
        )
        .await
        .unwrap();
    assert_eq!(reply.status.as_u16(), 413);
}

#[tokio::test]
async fn what_the_router_refuses_is_a_problem_too() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let client = ca.client("obol://terminal/a");
    let code = async |path: &str| -> Problem {
        client
            .get(&server.url(path))
            .await
            .unwrap()
            .success()
            .unwrap_err()
    };
    assert_eq!(code("/nowhere").await.code, "not-found");
    assert_eq!(code("/echo").await.code, "method-not-allowed");
}

#[tokio::test]
async fn a_reply_larger_than_the_limit_is_refused_by_the_client() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let error = ca
        .client("obol://terminal/a")
        .get(&server.url("/huge"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransportError::ReplyTooLarge { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_listening_is_said_plainly() {
    let ca = Ca::new();
    let server = mtls_server(&ca).await;
    let url = server.url("/open");
    server.stop().await;
    let error = ca.client("obol://terminal/a").get(&url).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reach {url}"));
}

#[tokio::test]
async fn only_https_urls_are_asked() {
    let client = Ca::new().client("obol://terminal/a");
    for url in ["http://localhost/", "localhost", "", "file:///etc/passwd"] {
        let error = client.get(url).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{url:?} is no https URL"));
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ca = Ca::new();
    let (certificate, _) = ca.files("obol://terminal/a");
    let (_, key) = ca.files("obol://terminal/b");
    let error = Identity::load(&certificate, &key).unwrap_err();
    assert!(
        matches!(error, IdentityError::KeyMismatch { .. }),
        "{error:?}"
    );
}

#[test]
fn files_that_are_no_pem_are_refused_by_name() {
    let ca = Ca::new();
    let (certificate, key) = ca.files("obol://terminal/a");
    let empty = certificate.with_file_name("empty.pem");
    std::fs::write(&empty, b"").unwrap();
    let error = TrustAnchor::load(&empty).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} holds 0 certificates", empty.display())
    );
    let error = Identity::load(&certificate, &empty).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read a private key from"),
        "{error}"
    );
    let error = Identity::load(&key, &key).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} holds 0 certificates", key.display())
    );
}
