//! The platform's passenger API over a real socket, as a phone meets it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::{
    Algorithm, Claims, Cti, FareTerms, Kid, UnixTime, assemble_credential, possession,
};
use obol_transport::{ClientAuth, Identity, Problem, new_identity, serve, server_config};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const SUBJECT: [u8; 16] = [0x5a; 16];

/// The keys by which requests were signed, in their order.
pub(crate) type Seen = Arc<Mutex<Vec<String>>>;

pub(crate) struct Platform {
    pub(crate) url: String,
    pub(crate) seen: Seen,
    shared: Shared,
    task: JoinHandle<io::Result<()>>,
}

impl Platform {
    /// From here on nothing listens at the platform's address.
    pub(crate) fn stop(self) {
        self.task.abort();
    }

    /// From here on phones are told to renew the credential of this number.
    pub(crate) fn tell_to_renew(&self, cti: u8) {
        self.shared.renewal.lock().unwrap().told.push(cti);
    }

    /// From here on no credential is given.
    pub(crate) fn be_out_of_credentials(&self) {
        self.shared.renewal.lock().unwrap().none_left = true;
    }

    /// Serves in the background; writes access.pem into `folder`.
    pub(crate) async fn start(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("access.pem"), ca.pem()).unwrap();
        let made = new_identity("obol://platform/main", &["localhost"]).unwrap();
        let request = CertificateSigningRequestParams::from_pem(&made.request_pem).unwrap();
        let (certificate, key) = (folder.join("platform.pem"), folder.join("platform.key"));
        std::fs::write(&certificate, request.signed_by(&ca).unwrap().pem()).unwrap();
        std::fs::write(&key, made.key_pem.as_bytes()).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let seen = Seen::default();
        let state = Shared {
            url: url.clone(),
            seen: seen.clone(),
            renewal: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/passengers", post(passengers))
            .route("/v1/recharges", post(recharges))
            .route("/v1/credentials", post(credentials))
            .route("/v1/statement", get(statement))
            .with_state(state.clone());
        let identity = Identity::load(&certificate, &key).unwrap();
        let tls = server_config(identity, ClientAuth::None);
        let task = tokio::spawn(serve(listener, tls, router, std::future::pending()));
        let shared = state;
        Self {
            url,
            seen,
            shared,
            task,
        }
    }
}

#[derive(Clone)]
struct Shared {
    url: String,
    seen: Seen,
    renewal: Arc<Mutex<Renewal>>,
}

#[derive(Default)]
struct Renewal {
    /// Credentials so far; each one's cti is its number.
    issued: u8,
    told: Vec<u8>,
    none_left: bool,
}

impl Shared {
    /// `answer` with what phones are told to renew.
    fn telling(&self, mut answer: Value) -> String {
        let told = self.renewal.lock().unwrap().told.clone();
        if !told.is_empty() {
            let told = told.iter().map(|cti| HEXLOWER.encode(&[*cti; 8]));
            answer["renew"] = told.collect();
        }
        answer.to_string()
    }

    /// RFC 9449 section 4.3, as far as this test needs it.
    fn admit(&self, headers: &HeaderMap, method: &str, path: &str, body: &[u8]) {
        let proof = headers["dpop"].to_str().unwrap();
        let parts: Vec<&str> = proof.split('.').collect();
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
        let header: Value = serde_json::from_slice(&decode(parts[0])).unwrap();
        let claims: Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        let coordinate = |name: &str| decode(header["jwk"][name].as_str().unwrap());
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let key = VerifyingKey::from_sec1_bytes(&point).unwrap();
        let signed = format!("{}.{}", parts[0], parts[1]);
        let signature = Signature::from_slice(&decode(parts[2])).unwrap();
        key.verify(signed.as_bytes(), &signature).unwrap();
        assert_eq!(claims["htm"], method);
        assert_eq!(claims["htu"], format!("{}{path}", self.url));
        let bound = claims.get("bdh").and_then(Value::as_str).map(decode);
        let expected = (!body.is_empty()).then(|| Sha256::digest(body).to_vec());
        assert_eq!(bound, expected);
        self.seen.lock().unwrap().push(HEXLOWER.encode(&point));
    }
}

async fn passengers(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.admit(&headers, "POST", "/v1/passengers", &body);
    let reply = json!({ "account": 17, "subject": HEXLOWER.encode(&SUBJECT) });
    (StatusCode::CREATED, reply.to_string()).into_response()
}

async fn recharges(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.admit(&headers, "POST", "/v1/recharges", &body);
    let asked: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(asked["channel"], "simulated-bank");
    let amount = asked["amount_minor"].as_i64().unwrap();
    if amount > 100_000 {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Problem::new(status, "amount", "Too much", "at most 1000.00").into_response();
    }
    let order = json!({ "order": "r-1", "pay_url": "https://bank/r-1", "amount_minor": amount,
        "notify_url": "https://platform/notify", "currency": "CNY" });
    (StatusCode::CREATED, shared.telling(order)).into_response()
}

async fn credentials(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.admit(&headers, "POST", "/v1/credentials", &body);
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let proof = asked["possession"].as_str().unwrap();
    let proof = BASE64URL_NOPAD.decode(proof.as_bytes()).unwrap();
    let (proof, signature) = possession::decode(&proof).unwrap();
    assert_eq!(proof.subject, SUBJECT);
    let key = VerifyingKey::from_sec1_bytes(proof.device_key.as_sec1()).unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    key.verify(&possession::signature_input(&proof), &signature)
        .unwrap();

    let expires_at = proof.issued_at.plus(86_400);
    let fare = FareTerms {
        class: 1,
        cap_minor: 1,
        window_s: 30,
        status_index: 1,
        flags: 0,
    };
    let mut renewal = shared.renewal.lock().unwrap();
    if renewal.none_left {
        let (status, title) = (StatusCode::FORBIDDEN, "The balance is too low");
        return Problem::new(status, "balance-too-low", title, "0.00").into_response();
    }
    renewal.issued += 1;
    let cti = Cti([renewal.issued; 8]);
    let (issued_at, device_key) = (proof.issued_at, proof.device_key);
    let claims = Claims {
        issued_at,
        expires_at,
        cti,
        device_key,
        fare,
    }
    .encode();
    let credential = assemble_credential(Algorithm::Esp384, Kid([1; 4]), &claims, &[1; 96]);
    let credential = BASE64URL_NOPAD.encode(&credential.unwrap());
    let UnixTime(expires_at) = expires_at;
    let reply = json!({ "credential": credential, "expires_at": expires_at });
    (StatusCode::CREATED, reply.to_string()).into_response()
}

async fn statement(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.admit(&headers, "GET", "/v1/statement", &body);
    let line = json!({ "at": 1_800_000_000, "kind": "recharge", "amount_minor": 5_000,
        "balance_minor": 5_000, "reference": "r-1" });
    let statement = json!({ "account": 17, "currency": "CNY", "opening_minor": 0,
        "lines": [line], "closing_minor": 5_000 });
    shared.telling(statement).into_response()
}
