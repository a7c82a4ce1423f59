//! An issuer and a platform on mutual TLS, as thin as a test needs them.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Extension, Json, Router,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use obol_pos_sdk::UnixTime;
use obol_tap::{
    Acknowledgement, HEALTH_HEADER, Head, Health, RecordAcknowledgement, RecordStatus, TerminalKey,
    TrustHealth, VerifiedSegment,
};
use obol_transport::{
    Bytes, ClientAuth, Identity, Peer, Problem, TrustAnchor, new_identity, serve, server_config,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData,
};
use tokio::net::TcpListener;

use crate::world::{World, fares};

struct Access {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Access {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    fn sign(&self, request: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        request.params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        request.signed_by(&self.issuer).unwrap().pem()
    }
}

/// What the platform holds of the terminal's journal, and the reports of its health.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<Vec<u8>>>>, Arc<Mutex<Vec<Vec<u8>>>>);

pub(crate) struct Online {
    pub(crate) world: World,
    held: Held,
    _runtime: tokio::runtime::Runtime,
}

impl Online {
    pub(crate) fn new() -> Self {
        Self::with_bundle_of(|now| now.minus(60))
    }

    /// The issuer's bundle says that it was made then.
    fn with_bundle_of(made: impl FnOnce(UnixTime) -> UnixTime) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (issuer, platform) = (listen(), listen());
        let url =
            |at: &TcpListener| format!("https://localhost:{}", at.local_addr().unwrap().port());
        let world = World::unsynced(&url(&issuer), &url(&platform));
        let access = Access::new();
        fs::write(world.path("access.pem"), &access.pem).unwrap();
        let request = fs::read_to_string(world.path("terminal.csr")).unwrap();
        fs::write(world.path("terminal.pem"), access.sign(&request)).unwrap();

        let held = Held::default();
        let bundle = world.issuing.bundle(made(world.now), |_| {});
        let tls = |role| {
            let identity = identity(&access, world.folder.path(), role);
            let anchor = TrustAnchor::load(&world.path("access.pem")).unwrap();
            server_config(identity, ClientAuth::Required(anchor))
        };
        let forever = std::future::pending::<std::io::Result<()>>;
        runtime.spawn(serve(issuer, tls("issuer"), issuing(bundle), forever()));
        let router = taking(
            held.clone(),
            public_key(&world),
            fares(world.now).bytes().to_vec(),
        );
        runtime.spawn(serve(platform, tls("platform"), router, forever()));
        Self {
            world,
            held,
            _runtime: runtime,
        }
    }

    pub(crate) fn ride(&self, number: u8) {
        let code = self.world.phone(number).code(self.world.now, 1);
        let said = self.world.run_typing(&["type"], code.as_bytes());
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Has the terminal look for a service where nobody is; the provisioning file as it was.
    pub(crate) fn move_away(&self, service: &str) -> String {
        let file = self.world.path("terminal.toml");
        let good = fs::read_to_string(&file).unwrap();
        let before = format!("{service} = \"https://localhost:");
        let port = good.split(&before).nth(1).unwrap();
        let port = port.split('"').next().unwrap();
        fs::write(&file, good.replace(port, "1")).unwrap();
        good
    }
}

fn identity(access: &Access, folder: &Path, role: &str) -> Identity {
    let made = new_identity(&format!("obol://{role}/main"), &["localhost"]).unwrap();
    let (certificate, key) = (
        folder.join(format!("{role}.pem")),
        folder.join(format!("{role}.key")),
    );
    fs::write(&certificate, access.sign(&made.request_pem)).unwrap();
    fs::write(&key, made.key_pem.as_bytes()).unwrap();
    Identity::load(&certificate, &key).unwrap()
}

fn public_key(world: &World) -> TerminalKey {
    let key = KeyPair::from_pem(&fs::read_to_string(world.path("terminal.key")).unwrap()).unwrap();
    TerminalKey::from_sec1(key.der_bytes()).unwrap()
}

fn issuing(bundle: Vec<u8>) -> Router {
    let bundle = move || async { ([(CONTENT_TYPE, "application/cbor")], bundle) };
    Router::new().route("/v1/trust-bundle", get(bundle))
}

fn taking(held: Held, key: TerminalKey, fares: Vec<u8>) -> Router {
    let fares = move || async { ([(CONTENT_TYPE, "application/cbor")], fares) };
    let take = async move |Extension(peer): Extension<Peer>, headers: HeaderMap, body: Bytes| {
        assert_eq!(peer.spki, key.id().0);
        let report = headers
            .get(HEALTH_HEADER)
            .map(|value| value.as_bytes().to_vec());
        held.1.lock().unwrap().push(report.unwrap());
        match VerifiedSegment::decode(&body, &key) {
            Ok(segment) => Json(take(&held, &segment)).into_response(),
            Err(refusal) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "segment", "Bad segment", refusal.to_string()).into_response()
            }
        }
    };
    Router::new()
        .route("/v1/fare-pack", get(fares))
        .route("/v1/segments", post(take))
}

fn take(held: &Held, segment: &VerifiedSegment) -> Acknowledgement {
    let mut held = held.0.lock().unwrap();
    let mut records = Vec::new();
    for entry in segment.records() {
        let seq = entry.record.seq;
        let status = if seq > held.len() as u64 {
            held.push(entry.bytes.clone());
            RecordStatus::Accepted
        } else {
            RecordStatus::Duplicate
        };
        records.push(RecordAcknowledgement { seq, status });
    }
    let origin = Head::origin(segment.terminal(), segment.epoch());
    Acknowledgement {
        epoch: segment.epoch(),
        watermark: held.len() as u64,
        head: held.iter().fold(origin, |head, record| head.then(record)),
        records,
    }
}

#[test]
fn a_synced_terminal_takes_rides_and_uploads_each_once() {
    let online = Online::new();
    let said = online.world.run(&["sync"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("SYNCED keys=1 expires="), "{said:?}");

    online.ride(1);
    online.ride(2);
    let said = online.world.run(&["upload"]);
    assert_eq!(said.out, "UPLOADED records=2 watermark=2\n", "{said:?}");
    online.ride(3);
    let said = online.world.run(&["--json", "upload"]);
    let done: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(done["records"], 1);
    assert_eq!(done["watermark"], 3);
    let said = online.world.run(&["upload"]);
    assert_eq!(said.out, "UPLOADED records=0 watermark=3\n", "{said:?}");
    assert_eq!(online.held.0.lock().unwrap().len(), 3);
}

#[test]
fn each_upload_tells_how_the_terminal_stands() {
    let online = Online::new();
    assert_eq!(online.world.run(&["sync"]).code, 0);
    online.ride(1);
    online.ride(2);
    assert_eq!(online.world.run(&["upload"]).code, 0);
    let reports = online.held.1.lock().unwrap().clone();
    assert_eq!(reports.len(), 1);
    let health: Health = serde_json::from_slice(&reports[0]).unwrap();
    let health = health.checked().unwrap();
    assert_eq!((health.waiting, health.trust), (2, TrustHealth::Fresh));
    assert!(health.software.starts_with("obol-pos "), "{health:?}");
    // The clock of this machine, give or take what the commands took.
    assert!(health.clock >= online.world.now.0, "{health:?}");
}

#[test]
fn rides_are_uploaded_while_the_terminal_takes_more() {
    let online = Online::new();
    assert_eq!(online.world.run(&["sync"]).code, 0);
    let mut scanner = online.world.typing();
    let mut ride = |number: u8| {
        let code = online.world.phone(number).code(online.world.now, 1);
        let said = scanner.take(&code);
        assert!(
            said.starts_with(&format!("GRANTED seq={number} ")),
            "{said}"
        );
        let said = online.world.run(&["upload"]);
        let expected = format!("UPLOADED records=1 watermark={number}\n");
        assert_eq!(said.out, expected, "{said:?}");
    };
    ride(1);
    ride(2);
    let first = online.world.phone(1).code(online.world.now, 1);
    let said = scanner.take(&first);
    assert!(said.starts_with("REFUSED DUPLICATE (13): "), "{said}");
    assert_eq!(online.world.run(&["journal", "check"]).code, 0);
}

#[test]
fn a_terminal_that_runs_takes_what_is_synced_from_the_next_code_on() {
    let online = Online::new();
    let world = &online.world;
    let old = world.issuing.bundle(world.now.minus(5 * 86_400), |_| {});
    fs::write(world.path("trust-bundle.cbor"), old).unwrap();
    let code = world.phone(1).code(world.now, 1);
    let mut scanner = world.typing();
    let said = scanner.take(&code);
    assert!(said.starts_with("REFUSED BUNDLE_EXPIRED (19): "), "{said}");
    assert_eq!(world.run(&["sync"]).code, 0);
    let said = scanner.take(&code);
    assert!(said.starts_with("GRANTED seq=1 fare=2.00 CNY "), "{said}");

    fs::write(world.path("trust-bundle.cbor"), b"damaged").unwrap();
    let said = scanner.take(&world.phone(2).code(world.now, 1));
    assert!(said.starts_with("GRANTED seq=2 "), "{said}");
    let complaint = "error: cannot use the stored trust bundle";
    assert_eq!(scanner.end().matches(complaint).count(), 1);
}

#[test]
fn a_bundle_of_another_root_is_refused_and_the_old_one_stays() {
    let online = Online::new();
    assert_eq!(online.world.run(&["sync"]).code, 0);
    let before = fs::read(online.world.path("trust-bundle.cbor")).unwrap();
    let root = crate::issuing::Issuing::new().root_pem;
    fs::write(online.world.path("root.pem"), root).unwrap();
    online.world.run(&["sync"]).two_lines(1, "is not believed");
    assert_eq!(
        fs::read(online.world.path("trust-bundle.cbor")).unwrap(),
        before
    );
}

#[test]
fn a_damaged_stored_bundle_is_replaced_by_a_good_one() {
    let online = Online::new();
    let path = online.world.path("trust-bundle.cbor");
    fs::write(&path, b"damaged").unwrap();
    let said = online.world.run(&["sync"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.err
            .starts_with("note: cannot use the stored trust bundle"),
        "{said:?}"
    );
    online.ride(1);
}

#[test]
fn a_bundle_from_the_future_is_not_stored() {
    let online = Online::with_bundle_of(|now| now.plus(7_200));
    let path = online.world.path("trust-bundle.cbor");
    let good = online.world.issuing.bundle(online.world.now, |_| {});
    fs::write(&path, &good).unwrap();
    online
        .world
        .run(&["sync"])
        .two_lines(1, "the trust bundle was made at ");
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn a_stored_bundle_from_the_future_is_replaced_by_one_of_now() {
    let online = Online::new();
    let ahead = online.world.now.plus(7_200);
    let ahead = online.world.issuing.bundle(ahead, |_| {});
    fs::write(online.world.path("trust-bundle.cbor"), ahead).unwrap();
    let said = online.world.run(&["sync"]);
    assert_eq!(said.code, 0, "{said:?}");
    online.ride(1);
}

#[test]
fn a_terminal_without_the_platforms_trust_is_told_so() {
    let online = Online::new();
    let stranger = Access::new();
    let request = fs::read_to_string(online.world.path("terminal.csr")).unwrap();
    fs::write(online.world.path("terminal.pem"), stranger.sign(&request)).unwrap();
    online
        .world
        .run(&["sync"])
        .two_lines(2, "refused this client's certificate");
    assert!(!online.world.path("trust-bundle.cbor").exists());
}

#[test]
fn a_platform_that_cannot_be_reached_costs_nothing() {
    let online = Online::new();
    assert_eq!(online.world.run(&["sync"]).code, 0);
    online.ride(1);
    let good = online.move_away("platform_url");
    online
        .world
        .run(&["upload"])
        .two_lines(2, "cannot reach https://localhost:1/v1/segments");

    fs::write(online.world.path("terminal.toml"), good).unwrap();
    let said = online.world.run(&["upload"]);
    assert_eq!(said.out, "UPLOADED records=1 watermark=1\n", "{said:?}");
}

#[test]
fn a_platform_that_holds_a_lost_record_is_noticed() {
    let online = Online::new();
    assert_eq!(online.world.run(&["sync"]).code, 0);
    online.ride(1);
    let journal = online.world.path("journal.sqlite");
    let copy = fs::read(&journal).unwrap();
    online.ride(2);
    assert_eq!(online.world.run(&["upload"]).code, 0);
    // somebody puts back an old copy of the file
    fs::write(&journal, copy).unwrap();
    online.world.run(&["upload"]).two_lines(
        2,
        "the platform holds record 2, but the journal ends with 1",
    );
}
