//! A root, an issuer key, an access CA, the daemon and the service, in one temporary folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::middleware;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::possession::{self, Possession};
use obol_credential::{DeviceKey, UnixTime};
use obol_issuer::{Config, Issuer, StartError, router};
use obol_issuer_client::{Ask, Issued, IssuerAddress, IssuerClient, IssuerClientError, RequestKey};
use obol_transport::http::Request;
use obol_transport::{
    Bytes, ClientAuth, HttpsClient, Identity, Limits, Reply, TransportError, TrustAnchor,
    new_identity, serve_within, server_config,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, RevokedCertParams, SerialNumber,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::daemon;
use crate::faults::{self, Faults};

pub(crate) const NOW: u32 = 1_800_000_000;
pub(crate) const SUBJECT: [u8; 16] = [0x5a; 16];

const TEMPLATES: &str = include_str!("../../../policies/credentials/metro.toml");

/// DER of `SEQUENCE { UTF8String "city-bus", INTEGER 6 }`: classes 1 and 2.
const SCOPE: &[u8] = b"\x30\x0d\x0c\x08city-bus\x02\x01\x06";

pub(crate) struct World {
    folder: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    access: Arc<CertifiedIssuer<'static, KeyPair>>,
    issuer_key: KeyPair,
    daemon_gone: daemon::Gone,
    tokens: [Arc<daemon::Token>; 2],
    access_token: Arc<daemon::Token>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Arc::new(access_ca("access-1")))
    }

    /// Another issuer of the same deployment, with a key of its own.
    pub(crate) fn beside(&self) -> Self {
        Self::of(Arc::clone(&self.access))
    }

    fn of(access: Arc<CertifiedIssuer<'static, KeyPair>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let second_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (first, second) = (daemon::Key::of(&issuer_key), daemon::Key::of(&second_key));
        let tokens = [first.token(), second.token()];
        let access_key = daemon::Key::of(access.key());
        let served = first.beside(second);
        let daemon_gone = daemon::serve(&folder.path().join("kms.sock"), &served);
        let world = Self {
            folder,
            root: ca(),
            access,
            issuer_key,
            daemon_gone,
            tokens,
            access_token: access_key.token(),
        };
        daemon::serve(&world.path("access-kms.sock"), &access_key);
        world.write("root.pem", &world.root.pem());
        world.write("access.pem", &world.access.pem());
        let certificate = issuer_certificate(&world.root, &world.issuer_key, NOW - 86_400);
        world.write("issuer.pem", &certificate);
        let certificate = issuer_certificate(&world.root, &second_key, NOW - 86_400);
        world.write("second.pem", &certificate);
        world.identity("issuer-tls", "obol://issuer/main");
        world
    }

    pub(crate) fn stop_daemon(&self) {
        self.daemon_gone.store(true, Ordering::SeqCst);
        std::fs::remove_file(self.path("kms.sock")).unwrap();
    }

    /// The token of the key of issuer.pem, or of second.pem, each in one of its own.
    pub(crate) fn token(&self, at: usize) -> &daemon::Token {
        &self.tokens[at]
    }

    pub(crate) fn access_token(&self) -> &daemon::Token {
        &self.access_token
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// An issuer certificate of a key that the daemon does not have.
    pub(crate) fn write_foreign_issuer_certificate(&self) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        self.write("issuer.pem", &issuer_certificate(&ca(), &key, NOW - 86_400));
    }

    /// The certificate of another issuer's key, good for 31 days from then.
    pub(crate) fn write_published(&self, name: &str, not_before: u32) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        self.write(name, &issuer_certificate(&self.root, &key, not_before));
    }

    /// For services that look at this machine's clock: good from an hour ago.
    pub(crate) fn certify_for_today(&self) {
        let certificate = issuer_certificate(&ca(), &self.issuer_key, today() - 3600);
        self.write("issuer.pem", &certificate);
    }

    pub(crate) fn kid(&self) -> obol_credential::Kid {
        use rcgen::PublicKeyData;
        let spki = self.issuer_key.subject_public_key_info();
        obol_kms_client::SpkiId::of(&spki).kid()
    }

    pub(crate) fn issuer_point(&self) -> Vec<u8> {
        self.issuer_key.public_key_raw().to_vec()
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::load(&self.path("access.pem")).unwrap()
    }

    pub(crate) fn identity(&self, name: &str, uri: &str) -> Identity {
        self.identity_by(&self.access, name, uri)
    }

    /// The next access CA, of the root, and a daemon at `both-kms.sock` that has both keys.
    pub(crate) fn next_access(&self) -> CertifiedIssuer<'static, KeyPair> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let params = access_params("access-1");
        let next = CertifiedIssuer::signed_by(params, key, &self.root).unwrap();
        let keys = daemon::Key::of(self.access.key()).beside(daemon::Key::of(next.key()));
        daemon::serve(&self.path("both-kms.sock"), &keys);
        next
    }

    /// The access CA's certificate as the root issues it another time, for the same key.
    pub(crate) fn access_again(&self) -> String {
        let params = access_params("access-1");
        let again = params.signed_by(self.access.key(), &self.root);
        again.unwrap().pem()
    }

    /// An access CA of a root that is none of this world's.
    pub(crate) fn foreign_access(&self) -> CertifiedIssuer<'static, KeyPair> {
        access_ca("access-1")
    }

    /// The key of an identity that there is, under another access CA.
    pub(crate) fn certified_again(
        &self,
        access: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        uri: &str,
    ) -> Identity {
        let key = self.path(&format!("{name}.key"));
        let pair = KeyPair::from_pem(&std::fs::read_to_string(&key).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
        let certificate = params.signed_by(&pair, access).unwrap().pem();
        let again = format!("{name}-again.pem");
        self.write(&again, &certificate);
        Identity::load(&self.path(&again), &key).unwrap()
    }

    /// The access CA's revocation list, which names these identities.
    pub(crate) fn write_list(&self, number: u64, revoked: &[&str]) {
        self.write(
            "access.crl.pem",
            &self.list_by(&self.access, number, revoked),
        );
    }

    /// The same of another, as PEM.
    pub(crate) fn list_by(
        &self,
        access: &CertifiedIssuer<'static, KeyPair>,
        number: u64,
        revoked: &[&str],
    ) -> String {
        let now = time::OffsetDateTime::now_utc();
        let entry = |name: &&str| {
            let pem = std::fs::read(self.path(&format!("{name}.pem"))).unwrap();
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
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(access).unwrap().pem().unwrap()
    }

    /// Of an access CA of the caller's.
    pub(crate) fn identity_by(
        &self,
        access: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        uri: &str,
    ) -> Identity {
        let made = new_identity(uri, &["localhost", "127.0.0.1"]).unwrap();
        let request = CertificateSigningRequestParams::from_pem(&made.request_pem).unwrap();
        self.write(
            &format!("{name}.pem"),
            &request.signed_by(access).unwrap().pem(),
        );
        self.write(&format!("{name}.key"), &made.key_pem);
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        Identity::load(&self.path(&certificate), &self.path(&key)).unwrap()
    }

    /// Credentials that stand in the register.
    pub(crate) fn reserved(&self) -> u32 {
        let connection = rusqlite::Connection::open(self.path("issuer.sqlite")).unwrap();
        let sql = "SELECT count(*) FROM issued";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn silence_daemon(&self, silent: bool) {
        self.daemon_gone.store(silent, Ordering::SeqCst);
    }

    pub(crate) fn config(&self, clients: &[(&str, &Identity)]) -> Config {
        self.config_with(clients, "")
    }

    /// With `more` in place of the daily quota.
    pub(crate) fn config_with(&self, clients: &[(&str, &Identity)], more: &str) -> Config {
        let text = self.config_text(clients, more);
        Config::parse(&text, TEMPLATES, self.folder.path()).unwrap()
    }

    /// The same with enrolment on a port of the system's choice.
    pub(crate) fn write_enrolling_config(&self, clients: &[(&str, &Identity)]) {
        self.write_config(clients);
        let text = std::fs::read_to_string(self.path("issuer.toml")).unwrap();
        let text = text
            .replace("# crl =", "crl =")
            .replace("# [enrolment]", "[enrolment]")
            .replace("# listen = \"127.0.0.1:7002\"", "listen = \"127.0.0.1:0\"")
            .replace("# kms_socket =", "kms_socket =")
            .replace("# certificate_days =", "certificate_days =");
        self.write("issuer.toml", &text);
    }

    /// The two files of the configuration.
    pub(crate) fn write_config(&self, clients: &[(&str, &Identity)]) {
        self.write("issuer.toml", &self.config_text(clients, ""));
        self.write("credentials.toml", TEMPLATES);
    }

    fn config_text(&self, clients: &[(&str, &Identity)], more: &str) -> String {
        let manual = include_str!("../../issuer.toml");
        let example = manual.rfind("[[clients]]").unwrap();
        let mut text = manual[..example]
            .replace("/var/lib/obol-issuer/", "")
            .replace("/run/obol-kms/issuer/", "")
            .replace("/run/obol-kms/access/", "access-")
            .replace("127.0.0.1:7001", "127.0.0.1:0")
            .replace("sample_percent = 1\n", "sample_percent = 100\n");
        if !more.is_empty() {
            text = text.replace("daily_quota = 1000000\n", more);
        }
        for (uri, identity) in clients {
            let spki = HEXLOWER.encode(&identity.spki());
            text.push_str(&format!(
                "[[clients]]\nuri = \"{uri}\"\nspki = \"{spki}\"\n"
            ));
        }
        if clients.is_empty() {
            text = format!("clients = []\n{text}");
        }
        text
    }

    /// A certificate of the access CA like that of a platform, but for `change`.
    pub(crate) fn certificate(&self, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        Leaf::of(&self.access, change)
    }

    pub(crate) async fn start(&self, config: Config) -> Result<String, StartError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.start_at(listener, config, Arc::default()).await
    }

    /// The same register on the day after [`NOW`].
    pub(crate) async fn start_tomorrow(&self, config: Config) -> String {
        const TOMORROW: u32 = (NOW / 86_400 + 1) * 86_400;
        let issuer = Issuer::start(&config, UnixTime(TOMORROW)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = router(Arc::new(issuer), || TOMORROW);
        self.serve_at(listener, &config, router)
    }

    /// Within these limits.
    pub(crate) async fn start_within(&self, limits: Limits, config: Config) -> String {
        let issuer = Issuer::start(&config, UnixTime(NOW)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = router(Arc::new(issuer), || NOW);
        self.serve_within(limits, listener, &config, router)
    }

    /// On this listener, with these faults before it.
    pub(crate) async fn start_at(
        &self,
        listener: TcpListener,
        config: Config,
        faults: Arc<Faults>,
    ) -> Result<String, StartError> {
        let issuer = Arc::new(Issuer::start(&config, UnixTime(NOW)).await?);
        let router = router(issuer, || NOW);
        let router = router.layer(middleware::from_fn_with_state(faults, faults::apply));
        Ok(self.serve_at(listener, &config, router))
    }

    fn serve_at(&self, listener: TcpListener, config: &Config, router: axum::Router) -> String {
        self.serve_within(Limits::default(), listener, config, router)
    }

    fn serve_within(
        &self,
        limits: Limits,
        listener: TcpListener,
        config: &Config,
        router: axum::Router,
    ) -> String {
        let identity = Identity::load(&config.tls.certificate, &config.tls.key).unwrap();
        let tls = server_config(identity, ClientAuth::Required(self.anchor()));
        let base = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let never = std::future::pending();
        tokio::spawn(serve_within(limits, listener, tls, router, never));
        base
    }

    /// A running service, and its registered platform with any request it likes.
    pub(crate) async fn with_caller(&self) -> Caller {
        let platform = self.identity("platform", "obol://platform/main");
        let config = self.config(&[("obol://platform/main", &platform)]);
        self.caller_of(config, platform).await
    }

    pub(crate) async fn caller_of(&self, config: Config, identity: Identity) -> Caller {
        let base = self.start(config).await.unwrap();
        let http = HttpsClient::new(&self.anchor(), Some(identity));
        Caller { base, http }
    }

    /// A running service and its registered platform.
    pub(crate) async fn with_platform(&self) -> (String, Platform) {
        let platform = self.identity("platform", "obol://platform/main");
        let config = self.config(&[("obol://platform/main", &platform)]);
        let base = self.start(config).await.unwrap();
        let client = Platform::of(&base, &self.anchor(), platform);
        (base, client)
    }
}

/// The shipped client of one issuer.
pub(crate) struct Platform(IssuerClient);

impl Platform {
    pub(crate) fn of(base: &str, anchor: &TrustAnchor, identity: Identity) -> Self {
        let issuer = IssuerAddress {
            name: "main".to_owned(),
            url: base.to_owned(),
        };
        let client = IssuerClient::new(&[issuer], anchor, identity, [0; 16]).unwrap();
        Self(client.within(Duration::from_secs(5)))
    }

    pub(crate) async fn sign_credential(
        &self,
        subject: &[u8; 16],
        class: u8,
        possession: &[u8],
    ) -> Result<Issued, IssuerClientError> {
        let ask = Ask {
            subject: *subject,
            device: None,
            class,
            possession: possession.to_vec(),
        };
        self.0.sign(fresh_key(), &ask).await
    }

    pub(crate) async fn trust_bundle(&self) -> Result<Vec<u8>, IssuerClientError> {
        self.0.trust_bundles().await.remove(0).1
    }
}

/// A request's name that no other has.
pub(crate) fn fresh_key() -> RequestKey {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    RequestKey::new(random)
}

/// A certificate and its key, DER.
pub(crate) struct Leaf {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Leaf {
    /// By a CA that nobody here knows.
    pub(crate) fn of_a_stranger(ca: &str) -> Leaf {
        Leaf::of(&access_ca(ca), |_| {})
    }

    fn of(ca: &CertifiedIssuer<'_, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::default();
        let uri = "obol://platform/main".try_into().unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Leaf {
            certificate: params.signed_by(&key, ca).unwrap().der().to_vec(),
            key: key.serialize_der(),
        }
    }
}

/// A client that is no shipped one.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) base: String,
    pub(crate) http: HttpsClient,
}

impl Caller {
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut request = Request::post(format!("{}{path}", self.base));
        request = request.header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Bytes::from(serde_json::to_vec(body).unwrap());
        self.http.send(request.body(body).unwrap()).await.unwrap()
    }

    /// As a client does: the same request under the same key until there is an answer for each
    /// item.
    pub(crate) async fn post_until_answered(&self, path: &str, key: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let body = Bytes::from(serde_json::to_vec(body).unwrap());
        for _ in 0..20 {
            let request = Request::post(&url)
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", key);
            let sent = self.http.send(request.body(body.clone()).unwrap()).await;
            match sent {
                Ok(reply) if is_final(&reply) => return json_of(&reply, 200),
                Ok(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
                Err(TransportError::DeadlineExceeded { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        panic!("no answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self
            .http
            .get(&format!("{}{path}", self.base))
            .await
            .unwrap();
        let reply = reply.success().unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }
}

/// Whether there is nothing in a batch's reply for which one should ask again.
fn is_final(reply: &Reply) -> bool {
    let waits = |result: &Value| result["problem"]["status"] == 503;
    let all: Value = serde_json::from_slice(&reply.body).unwrap();
    let items = all["results"].as_array();
    ![409, 503].contains(&reply.status.as_u16()) && !items.into_iter().flatten().any(waits)
}

/// A reply's JSON, of a status.
pub(crate) fn json_of(reply: &Reply, status: u16) -> Value {
    let body = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status.as_u16(), status, "{body}");
    serde_json::from_str(&body).unwrap()
}

pub(crate) struct Phone(SigningKey);

impl Phone {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn numbered(number: u32) -> Self {
        let mut secret = [1; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        Self(SigningKey::from_slice(&secret).unwrap())
    }

    /// What a platform asks for this phone.
    pub(crate) fn asks(&self, subject: [u8; 16]) -> Value {
        self.asks_at(subject, NOW)
    }

    pub(crate) fn asks_at(&self, subject: [u8; 16], at: u32) -> Value {
        json!({
            "subject": HEXLOWER.encode(&subject),
            "class": 1,
            "possession": BASE64URL_NOPAD.encode(&self.proof(subject, at)),
        })
    }

    pub(crate) fn device_key(&self) -> DeviceKey {
        let point = self.0.verifying_key().to_sec1_point(true);
        DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap()
    }

    pub(crate) fn proof(&self, subject: [u8; 16], at: u32) -> Vec<u8> {
        let issued_at = UnixTime(at);
        let proof = Possession {
            subject,
            device_key: self.device_key(),
            issued_at,
        };
        let signature: Signature = self.0.sign(&possession::signature_input(&proof));
        let signature: [u8; 64] = signature.to_bytes().into();
        possession::encode(&proof, &signature).to_vec()
    }
}

/// As policies/profiles/access-ca.toml has it, but for the root's signature.
fn access_ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    CertifiedIssuer::self_signed(access_params(name), key).unwrap()
}

fn access_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    CertifiedIssuer::self_signed(params, key).unwrap()
}

/// This machine's time.
pub(crate) fn today() -> u32 {
    u32::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).unwrap()
}

fn issuer_certificate(
    root: &CertifiedIssuer<'_, KeyPair>,
    key: &KeyPair,
    not_before: u32,
) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let at = |unix: u32| time::OffsetDateTime::from_unix_timestamp(i64::from(unix)).unwrap();
    params.not_before = at(not_before);
    params.not_after = at(not_before + 31 * 86_400);
    let scope = [1, 3, 6, 1, 4, 1, 59999, 1, 2];
    params.custom_extensions = vec![CustomExtension::from_oid_content(&scope, SCOPE.to_vec())];
    params.signed_by(key, root).unwrap().pem()
}
