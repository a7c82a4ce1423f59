//! Who may sit, and for how long: raw HTTP/2 clients that do what no library would.

use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_transport::{ClientAuth, Limits};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Ca, Log, Server};

const IDLE: Duration = Duration::from_millis(500);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame without flags on stream 0 (RFC 9113 section 4.1).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const GOAWAY: u8 = 7;

fn short() -> Limits {
    Limits {
        idle: IDLE,
        ..Limits::default()
    }
}

/// HEADERS of a GET on stream 1, END_STREAM and END_HEADERS, HPACK without compression.
fn get(path: &str) -> Vec<u8> {
    // :method GET and :scheme https from the static table; :path and :authority as literals.
    let mut block = vec![0x82, 0x87, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    let mut frame = vec![0, 0, block.len() as u8, 1, 0x05, 0, 0, 0, 1];
    frame.extend(block);
    frame
}

async fn connect(ca: &Ca, server: &Server) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let pem = ca.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

/// Pings until the server hangs up; returns the types of the frames it sent, and how long it took.
async fn ping_until_closed(mut stream: TlsStream<TcpStream>) -> (Vec<u8>, Duration) {
    let (begun, mut received) = (Instant::now(), Vec::new());
    let mut chunk = [0; 4096];
    loop {
        if stream.write_all(PING).await.is_err() {
            break;
        }
        match timeout(Duration::from_millis(50), stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => received.extend_from_slice(&chunk[..read]),
            Err(_) => assert!(begun.elapsed() < 20 * IDLE, "the server never hung up"),
        }
    }
    (frame_types(&received), begun.elapsed())
}

fn frame_types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [a, b, c, kind, rest @ ..] = bytes {
        types.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize + 5;
        bytes = rest.get(length..).unwrap_or(&[]);
    }
    types
}

#[tokio::test]
async fn a_connection_that_only_pings_loses_its_seat() {
    let ca = Ca::new();
    let server = Server::start_within(short(), &ca, ClientAuth::None).await;
    let mut stream = connect(&ca, &server).await;
    stream
        .write_all(&[PREFACE, SETTINGS].concat())
        .await
        .unwrap();
    let (frames, lasted) = ping_until_closed(stream).await;
    assert!(frames.contains(&GOAWAY), "{frames:?}");
    assert!(lasted >= IDLE, "{lasted:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_idle_deadline_is_answered() {
    let ca = Ca::new();
    let server = Server::start_within(short(), &ca, ClientAuth::None).await;
    let mut stream = connect(&ca, &server).await;
    let opening = [PREFACE, SETTINGS, &get("/slow")].concat();
    stream.write_all(&opening).await.unwrap();
    let (frames, lasted) = ping_until_closed(stream).await;
    let (headers, data) = (1, 0);
    assert!(
        frames.contains(&headers) && frames.contains(&data),
        "{frames:?}"
    );
    assert!(lasted >= Duration::from_millis(900) + IDLE, "{lasted:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_asks_for_ever_ages() {
    let ca = Ca::new();
    let limits = Limits {
        life: IDLE,
        ..Limits::default()
    };
    let server = Server::start_within(limits, &ca, ClientAuth::None).await;
    let mut stream = connect(&ca, &server).await;
    let opening = [PREFACE, SETTINGS, &get("/open")].concat();
    stream.write_all(&opening).await.unwrap();
    let (frames, lasted) = ping_until_closed(stream).await;
    assert!(frames.contains(&GOAWAY), "{frames:?}");
    assert!(
        lasted >= IDLE && lasted < Limits::default().idle,
        "{lasted:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_peer_has_so_many_connections_and_no_more() {
    let (ca, log) = (Ca::new(), Log::default());
    let _guard = log.capture();
    let limits = Limits {
        connections_of_peer: 2,
        ..short()
    };
    let server = Server::start_within(limits, &ca, ClientAuth::None).await;
    let (one, _two) = (connect(&ca, &server).await, connect(&ca, &server).await);
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let closed = timeout(Duration::from_secs(5), third.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    let warned = "a peer has as many connections as it may";
    assert!(log.text().contains(warned), "{}", log.text());
    drop(one);
    tokio::time::sleep(IDLE).await;
    connect(&ca, &server).await;
    server.stop().await;
}

#[tokio::test]
async fn it_is_said_when_every_seat_is_taken() {
    let (ca, log) = (Ca::new(), Log::default());
    let _guard = log.capture();
    let limits = Limits {
        connections: 2,
        ..short()
    };
    let server = Server::start_within(limits, &ca, ClientAuth::None).await;
    let mut stream = connect(&ca, &server).await;
    stream
        .write_all(&[PREFACE, SETTINGS].concat())
        .await
        .unwrap();
    let _second = connect(&ca, &server).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let warned = "every seat is taken: new connections wait";
    assert!(log.text().contains(warned), "{}", log.text());
    // The idle ones are shown out, so that a third gets in.
    let third = timeout(10 * IDLE, connect(&ca, &server)).await;
    third.expect("the third has got no seat");
    server.stop().await;
}

#[tokio::test]
async fn a_handler_knows_the_address_of_its_client() {
    let ca = Ca::new();
    let server = Server::start(&ca, ClientAuth::None).await;
    let client = obol_transport::HttpsClient::new(&ca.anchor(), None);
    let reply = client.get(&server.url("/from")).await.unwrap();
    assert!(reply.body.starts_with(b"127.0.0.1:"), "{reply:?}");
    server.stop().await;
}
