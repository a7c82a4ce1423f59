//! The bank as a process, seen from a payee that shares no code with it.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::BASE64URL_NOPAD;
use obol_transport::{ClientAuth, Identity, serve, server_config};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use p256::pkcs8::DecodePublicKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

const BANK: &str = env!("CARGO_BIN_EXE_bank-simulator");

/// A running bank; killed when it goes.
struct Bank {
    process: Child,
    address: String,
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn bank_in(folder: &Path, repeat: &str) -> Bank {
    let made = Command::new(BANK)
        .args(["keygen", "--key", "bank.key", "--public", "bank.pem"])
        .current_dir(folder)
        .status();
    assert!(made.unwrap().success());
    let mut process = Command::new(BANK)
        .args([
            "serve",
            "--key",
            "bank.key",
            "--trust",
            "access.pem",
            "--until-stdin-closes",
        ])
        .args(["--repeat", repeat])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim_end()
        .strip_prefix("ready http://")
        .unwrap()
        .to_owned();
    Bank { process, address }
}

impl Bank {
    fn pay(&self, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let request = format!(
            "POST /pay HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

/// An access CA and a server's certificate under it, as files.
fn certificates_in(folder: &Path) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    server
        .subject_alt_names
        .push(SanType::URI("obol://platform/payee".try_into().unwrap()));
    let certificate = server.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.join("access.pem"), ca.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

type Received = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A payee that fails at the first notice and says `success` from then on.
async fn payee_in(folder: &Path) -> (String, Received) {
    let received = Received::default();
    let book = received.clone();
    let notify = post(async move |headers: HeaderMap, body: Bytes| {
        let mut book = book.lock().unwrap();
        book.push((headers["bank-signature"].to_str().unwrap().to_owned(), body));
        match book.len() {
            1 => (StatusCode::INTERNAL_SERVER_ERROR, "not now"),
            _ => (StatusCode::OK, "success"),
        }
    });
    let router = axum::Router::new().route("/notify", notify);
    let identity = Identity::load(&folder.join("server.pem"), &folder.join("server.key")).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = server_config(identity, ClientAuth::None);
    tokio::spawn(serve(listener, tls, router, std::future::pending()));
    (format!("https://localhost:{port}/notify"), received)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_told_as_often_as_asked_and_again_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    certificates_in(folder.path());
    let (url, received) = payee_in(folder.path()).await;
    let bank = bank_in(folder.path(), "3");
    let payment = format!(
        r#"{{"order":"r01-00","amount_minor":5000,"currency":"CNY","notify_url":"{url}"}}"#
    );
    let (status, answer) = bank.pay(&payment);
    assert_eq!(status, 200, "{answer}");
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if received.lock().unwrap().len() == 4 {
            break;
        }
    }
    let pem = std::fs::read_to_string(folder.path().join("bank.pem")).unwrap();
    let key = VerifyingKey::from_public_key_pem(&pem).unwrap();
    let received = received.lock().unwrap();
    assert_eq!(received.len(), 4, "three notices, the first of them twice");
    for (header, body) in received.iter() {
        let (time, signature) = header
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="))
            .unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        let message = [time.as_bytes(), b".", body].concat();
        key.verify(&message, &Signature::from_slice(&signature).unwrap())
            .unwrap();
        let notice: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(
            (&notice["order"], &notice["amount_minor"]),
            (&"r01-00".into(), &5000.into())
        );
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(notice["transaction"], answer["transaction"]);
    }
}

#[tokio::test]
async fn a_payment_of_nothing_or_to_an_unprotected_address_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    certificates_in(folder.path());
    let bank = bank_in(folder.path(), "1");
    let payment = |amount: i64, url: &str| {
        format!(r#"{{"order":"r","amount_minor":{amount},"currency":"CNY","notify_url":"{url}"}}"#)
    };
    let refused = bank.pay(&payment(0, "https://localhost/"));
    assert_eq!(
        refused,
        (400, "amount_minor 0 is not positive\n".to_owned())
    );
    let refused = bank.pay(&payment(1, "http://localhost/"));
    assert_eq!(
        refused,
        (
            400,
            "notify_url \"http://localhost/\" is not https\n".to_owned()
        )
    );
}

#[test]
fn a_key_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bank.key"), "mine").unwrap();
    let refused = Command::new(BANK)
        .args(["keygen", "--key", "bank.key", "--public", "bank.pem"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.starts_with("error: bank.key exists already\nhelp: "),
        "{said}"
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("bank.key")).unwrap(),
        "mine"
    );
}

#[test]
fn half_a_key_pair_is_never_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bank.pem"), "theirs").unwrap();
    let refused = Command::new(BANK)
        .args(["keygen", "--key", "bank.key", "--public", "bank.pem"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert_eq!(refused.code(), Some(2));
    assert!(!folder.path().join("bank.key").exists());
}
