//! What changes while connections are open.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::Credential;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::enrolment::{SAN, Town, USER};
use crate::process::{PATIENCE, Service, asked, logged, spawn, world_and_platform};
use crate::raw::Raw;
use crate::world::{Leaf, World, json_of};

fn leaf(world: &World, name: &str) -> Leaf {
    let read = |kind: &str| std::fs::read(world.path(&format!("{name}.{kind}"))).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("key")).unwrap();
    Leaf {
        certificate: certificate.to_vec(),
        key: key.secret_der().to_vec(),
    }
}

/// The first line of the answer on a connection that stays open; `None` when it is closed.
async fn ask(raw: &mut Raw, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    raw.0.write_all(request.as_bytes()).await.ok()?;
    let mut answer = vec![0; 16 * 1024];
    let read = timeout(PATIENCE, raw.0.read(&mut answer)).await;
    let length = read.expect("an answer").ok().filter(|length| *length > 0)?;
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    text.lines().next().map(str::to_owned)
}

/// DESIGN's bound for a revoked client.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_open_connection_of_a_revoked_member_is_closed_and_others_go_on() {
    let town = Town::new();
    town.request("first", SAN, "P-256");
    let (status, body) = town.enrol("first", USER, &town.code());
    assert_eq!(status, 200, "{body}");
    town.take_good("first", &body);
    let caller = town.service.caller(&town.world, &town.platform);
    let connect = async |name: &str| {
        let leaf = leaf(&town.world, name);
        Raw::connect(&town.world, &caller.base, Some(&leaf), "http/1.1").await
    };
    let (mut terminal, mut platform) = (connect("first").await, connect("platform").await);
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    assert_eq!(ask(&mut terminal, "/v1/trust-bundle").await, ok);
    assert_eq!(ask(&mut platform, "/healthz").await, ok);

    let spki = HEXLOWER.encode(&town.identity("first").spki());
    let path = format!("/v1/members/{spki}/revoke");
    json_of(&caller.post(&path, &[], &Value::Null).await, 200);
    let revoked = Instant::now();
    // It asks on and on, so that it is not idleness that ends it; nothing is served meanwhile.
    while let Some(line) = ask(&mut terminal, "/v1/trust-bundle").await {
        assert_eq!(line, "HTTP/1.1 403 Forbidden");
        assert!(revoked.elapsed() < CLOSED_WITHIN, "still open");
        assert_eq!(ask(&mut platform, "/healthz").await, ok);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask(&mut platform, "/healthz").await, ok);
}

fn shown(raw: &Raw) -> Vec<u8> {
    raw.0.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_another_certificate_and_other_templates_while_open_connections_go_on() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let connect = async || {
        let leaf = leaf(&world, "platform");
        Raw::connect(&world, &caller.base, Some(&leaf), "http/1.1").await
    };
    let cap = async |number: u32| {
        let reply = caller.post("/v1/credentials", &[], &asked(number)).await;
        let text = json_of(&reply, 201)["credential"]
            .as_str()
            .unwrap()
            .to_owned();
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        Credential::decode(&bytes).unwrap().claims().fare.cap_minor
    };
    let mut before = connect().await;
    let old = shown(&before);
    assert_eq!(cap(1).await, 1000);

    world.identity("issuer-tls", "obol://issuer/main");
    let templates = std::fs::read_to_string(world.path("credentials.toml")).unwrap();
    let other = templates.replacen("cap_minor = 1000", "cap_minor = 900", 1);
    world.write("credentials.toml", &other);
    service.signal("-HUP");
    logged(&world, "the configuration was read again").await;
    assert_eq!(cap(2).await, 900);
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    assert_eq!(ask(&mut before, "/healthz").await, ok);
    let after = connect().await;
    let new = leaf(&world, "issuer-tls").certificate;
    assert!(shown(&after) == new && new != old);

    // Templates that are wrong change nothing.
    world.write(
        "credentials.toml",
        &other.replace("life_hours = ", "life_hours = 4"),
    );
    service.signal("-HUP");
    logged(&world, "the changed configuration is refused").await;
    assert_eq!(cap(3).await, 900);
    assert_eq!(ask(&mut before, "/healthz").await, ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_that_another_issuer_wrote_is_read_without_a_signal_and_closes_connections() {
    let (world, platform) = world_and_platform();
    let second = world.identity("second", "obol://platform/second");
    let clients = [
        ("obol://platform/main", &platform),
        ("obol://platform/second", &second),
    ];
    world.write_config(&clients);
    world.write_list(1, &[]);
    let config = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    world.write("issuer.toml", &config.replace("# crl =", "crl ="));
    let service = Service::start(&world);
    let base = service.caller(&world, &platform).base;
    let connect = async |name: &str| {
        let leaf = leaf(&world, name);
        Raw::connect(&world, &base, Some(&leaf), "http/1.1").await
    };
    let (mut stays, mut goes) = (connect("platform").await, connect("second").await);
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    for raw in [&mut stays, &mut goes] {
        assert_eq!(ask(raw, "/healthz").await, ok);
    }
    // What is no list changes nothing.
    world.write("access.crl.pem", "half a list");
    let refused = "changed certificates are refused";
    let begun = Instant::now();
    while !std::fs::read_to_string(world.path("issuer.log"))
        .unwrap()
        .contains(refused)
    {
        assert!(begun.elapsed() < PATIENCE, "nobody has looked");
        for raw in [&mut stays, &mut goes] {
            assert_eq!(ask(raw, "/healthz").await, ok);
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&mut goes, "/healthz").await, ok);
    world.write_list(2, &["second"]);
    let begun = Instant::now();
    while ask(&mut goes, "/healthz").await.is_some() {
        assert!(begun.elapsed() < CLOSED_WITHIN, "still open");
        assert_eq!(ask(&mut stays, "/healthz").await, ok);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&mut stays, "/healthz").await, ok);
    let again = connect("second").await;
    let alert = again.alert().await;
    assert_eq!(alert, rustls::AlertDescription::CertificateRevoked);
}

/// What a pipe holds that nobody reads.
const PIPE_BYTES: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_another_issuer_writes_while_this_one_starts_counts_too() {
    let (world, platform) = world_and_platform();
    let second = world.identity("second", "obol://platform/second");
    let clients = [
        ("obol://platform/main", &platform),
        ("obol://platform/second", &second),
    ];
    world.write_config(&clients);
    world.write_list(1, &[]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    let config =
        config
            .replace("# crl =", "crl =")
            .replacen("127.0.0.1:0", &address.to_string(), 1);
    world.write("issuer.toml", &config);
    // It has read its files when it listens, and stands still until somebody hears that it is ready.
    let (stdout, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let child = spawn(&world, full);
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not listen");
        sleep(Duration::from_millis(20)).await;
    }
    world.write_list(2, &["second"]);
    let service = Service::when_ready(child, stdout, &world);
    let base = service.caller(&world, &platform).base;
    let connect = async |name: &str| {
        let leaf = leaf(&world, name);
        Raw::connect(&world, &base, Some(&leaf), "http/1.1").await
    };
    let begun = Instant::now();
    while ask(&mut connect("second").await, "/healthz")
        .await
        .is_some()
    {
        assert!(begun.elapsed() < CLOSED_WITHIN, "still let in");
        sleep(Duration::from_millis(100)).await;
    }
    let alert = connect("second").await.alert().await;
    assert_eq!(alert, rustls::AlertDescription::CertificateRevoked);
    let ok = Some("HTTP/1.1 200 OK".to_owned());
    assert_eq!(ask(&mut connect("platform").await, "/healthz").await, ok);
}
