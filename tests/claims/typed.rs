//! What the shipped daemon signs for the issuer besides credentials, and with which keys.

use std::process::Command;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use obol_kms_client::{
    KmsClient, KmsError, PayloadType, SpkiId, VerifiedSignature, wire::RefusalKind,
};
use obol_world::Service;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::stage::{Stage, eventually};

const ACCESS_TOKEN: &str = "tokens/access.token.toml";
const TEMPLATES: &str = include_str!("../../policies/credentials/metro.toml");
const TIMESTAMP: &[u8] = br#"{"_type":"timestamp","expires":"2040-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1}},"spec_version":"1.0.34","version":1,"x-obol-issued":1800000000}"#;
const SNAPSHOT: &[u8] = br#"{"_type":"snapshot","expires":"2040-01-01T00:00:00Z","meta":{"denylist.json":{"version":1},"fares.json":{"version":1},"targets.json":{"version":1}},"spec_version":"1.0.34","version":1}"#;
const DENYLIST: &[u8] = br#"{"_type":"targets","expires":"2040-01-01T00:00:00Z","spec_version":"1.0.34","targets":{},"version":1}"#;

/// Tokens, authorities and a registry; the daemon has the issuer's token and the access CA's.
struct House {
    stage: Stage,
    runtime: Runtime,
}

impl House {
    fn new() -> House {
        let stage = Stage::with_tokens();
        stage.world.make_authorities().unwrap();
        stage.world.make_registry().unwrap();
        let runtime = Runtime::new().unwrap();
        House { stage, runtime }
    }

    fn keys(&self, arguments: &[&str]) -> String {
        let registry = ["--registry", "keys.registry"];
        let command = [&["keys"], arguments, &registry].concat();
        let ran = self.stage.world.tool("obol-kms").succeed(&command).unwrap();
        ran.stdout.split_whitespace().next().unwrap().to_owned()
    }

    /// The access CA's key may sign.
    fn admit_access_ca(&self) -> SpkiId {
        let register = ["register", "--class", "access-ca", "--label", "access"];
        let key = self.keys(&[&register[..], &["--token", ACCESS_TOKEN]].concat());
        self.keys(&["certify", "--certificate", "access.pem"]);
        self.stage.world.activate(&key).unwrap();
        key.parse().unwrap()
    }

    /// A key made by another process than the daemon, active.
    fn generate(&self, class: &str, label: &str) -> SpkiId {
        let generate = ["generate", "--class", class, "--label", label];
        let token = ["--token", "tokens/issuer.token.toml"];
        let key = self.keys(&[&generate[..], &token].concat());
        self.stage.world.activate(&key).unwrap();
        key.parse().unwrap()
    }

    fn serve(&self) -> Service {
        let clients = "[[clients]]";
        let access = format!("[[tokens]]\nfile = \"{ACCESS_TOKEN}\"\nsessions = 1\n{clients}");
        let config = self.stage.world.kms_config().unwrap();
        self.stage
            .write("kms.toml", &config.replace(clients, &access));
        let serve = ["serve", "--config", "kms.toml"];
        self.stage.world.serve("obol-kms", "kms", &serve).unwrap()
    }

    fn client(&self) -> KmsClient {
        let socket = self.stage.world.folder().join("kms.sock");
        self.runtime.block_on(KmsClient::connect(socket)).unwrap()
    }

    fn sign(
        &self,
        client: &KmsClient,
        key: SpkiId,
        payload: (PayloadType, &[u8]),
    ) -> Result<VerifiedSignature, KmsError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        self.runtime
            .block_on(client.sign(key, payload.0, payload.1, deadline))
    }

    fn run(&self, command: &str, arguments: &[&str]) -> String {
        let run = Command::new(command)
            .args(arguments)
            .current_dir(self.stage.world.folder())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{command} {arguments:?}: {errors}");
        String::from_utf8(run.stdout).unwrap() + &errors
    }

    /// The leaf at `index`, once a checkpoint covers it.
    fn leaf(&self, index: &str) -> Value {
        let key = self.stage.world.log_key().unwrap();
        let prove = ["audit", "prove", "--log", "audit", "--key", &key];
        let prove = [&prove[..], &["--index", index, "--json"]].concat();
        let mut leaf = Value::Null;
        eventually("the leaf is proved", || {
            let ran = self.stage.world.tool("obol-kms").run(&prove).unwrap();
            if ran.code == 0 {
                let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
                leaf = shown["leaf"].clone();
            }
            ran.code == 0
        });
        leaf
    }

    fn issuer_config(&self) -> String {
        let ports = self.stage.world.ports;
        let platform = self.stage.read("platform-tls.pem.spki");
        format!(
            r#"listen = "127.0.0.1:{}"
database = "issuer.db"
kms_socket = "kms.sock"
templates = "credentials.toml"
[tls]
certificate = "issuer-tls.pem"
key = "issuer.key"
trust = "access.pem"
crl = "crl.pem"
[keys]
signing = "issuer.pem"
[enrolment]
listen = "127.0.0.1:{}"
kms_socket = "kms.sock"
[[clients]]
uri = "obol://platform/main"
spki = "{platform}"
"#,
            ports.issuer, ports.terminals
        )
    }
}

#[test]
fn a_terminal_enrols_by_est_and_its_certificate_and_the_crl_are_signed_by_the_access_cas_token() {
    let house = House::new();
    let access = house.admit_access_ca();
    house.stage.world.certify_services().unwrap();
    let daemon = house.serve();
    house.stage.write("issuer.toml", &house.issuer_config());
    house.stage.write("credentials.toml", TEMPLATES);
    let serve = ["serve", "--config", "issuer.toml"];
    let issuer = house.stage.world.serve("obol-issuer", "issuer", &serve);
    let issuer = issuer.unwrap();
    house.run("openssl", &["verify", "-CAfile", "root.pem", "access.pem"]);
    let list = ["crl", "-in", "crl.pem", "-CAfile", "access.pem", "-noout"];
    assert!(house.run("openssl", &list).contains("verify OK"));

    let identity = "obol://terminal/bus-7";
    let code = house.stage.world.tool("obol-issuer");
    let code = code
        .succeed(&[
            "enrolment-code",
            "--config",
            "issuer.toml",
            "--identity",
            identity,
        ])
        .unwrap();
    let (name, curve) = (
        format!("subjectAltName=URI:{identity}"),
        "ec_paramgen_curve:P-256",
    );
    let make = ["req", "-new", "-newkey", "ec", "-pkeyopt", curve, "-nodes"];
    let names = ["-subj", "/CN=bus-7", "-addext", &name];
    let files = [
        "-keyout",
        "bus-7.key",
        "-outform",
        "DER",
        "-out",
        "bus-7.der",
    ];
    house.run("openssl", &[&make[..], &names, &files].concat());
    let request = std::fs::read(house.stage.world.folder().join("bus-7.der")).unwrap();
    house.stage.write("bus-7.b64", &BASE64.encode(&request));
    let url = format!(
        "https://localhost:{}/.well-known/est/simpleenroll",
        house.stage.world.ports.terminals
    );
    let user = format!("terminal/bus-7:{}", code.stdout.trim());
    let curl = ["-sS", "--fail", "--cacert", "access.pem", "-u", &user];
    let body = [
        "-H",
        "Content-Type: application/pkcs10",
        "--data-binary",
        "@bus-7.b64",
    ];
    let answer = house.run("curl", &[&curl[..], &body, &[&url]].concat());
    let cms = BASE64.decode(answer.trim().as_bytes()).unwrap();
    std::fs::write(house.stage.world.folder().join("bus-7.p7"), cms).unwrap();
    let print = ["pkcs7", "-inform", "DER", "-in", "bus-7.p7", "-print_certs"];
    house.run("openssl", &[&print[..], &["-out", "bus-7.pem"]].concat());
    let verify = ["verify", "-CAfile", "root.pem", "-untrusted", "access.pem"];
    let purpose = ["-purpose", "sslclient", "bus-7.pem"];
    house.run("openssl", &[&verify[..], &purpose].concat());

    for (index, payload) in [("0", "crl"), ("1", "tbs-certificate")] {
        let leaf = house.leaf(index);
        assert_eq!(leaf["payload_type"], payload, "{leaf}");
        assert_eq!(leaf["decision"], "approved", "{leaf}");
        assert_eq!(leaf["key"], access.to_string(), "{leaf}");
        let reason = leaf["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("issuer-certifies-and-revokes-members"),
            "{leaf}"
        );
    }
    issuer.stop().unwrap();
    daemon.stop().unwrap();
}

#[test]
fn online_metadata_is_signed_by_the_tokens_online_key_and_by_no_other_and_no_other_role_of_it() {
    let house = House::new();
    let access = house.admit_access_ca();
    let online = house.generate("tuf-online", "first");
    let daemon = house.serve();
    let client = house.client();
    let metadata = [
        (PayloadType::TufTimestamp, TIMESTAMP),
        (PayloadType::TufSnapshot, SNAPSHOT),
        (PayloadType::TufTargets, DENYLIST),
    ];
    for payload in metadata {
        let signed = house.sign(&client, online, payload).unwrap();
        assert_eq!(signed.to_raw().len(), 64, "{}", payload.0);
        match house.sign(&client, access, payload).unwrap_err() {
            KmsError::Refused { kind, .. } => assert_eq!(kind, RefusalKind::PayloadRefused),
            other => panic!("{other}"),
        }
    }
    // What is said to be one role and is another.
    let mixed = (PayloadType::TufTimestamp, SNAPSHOT);
    match house.sign(&client, online, mixed).unwrap_err() {
        KmsError::Refused { kind, .. } => assert_eq!(kind, RefusalKind::PayloadRefused),
        other => panic!("{other}"),
    }
    daemon.stop().unwrap();
}

#[test]
fn a_key_that_another_process_makes_while_the_daemon_runs_signs_without_a_restart() {
    let house = House::new();
    let daemon = house.serve();
    let client = house.client();
    let online = house.generate("tuf-online", "first");
    let payload = (PayloadType::TufTimestamp, TIMESTAMP);
    house.sign(&client, online, payload).unwrap();
    let second = house.generate("tuf-online", "second");
    assert_ne!(second, online);
    eventually("the second key is found", || {
        house.sign(&client, second, payload).is_ok()
    });
    // The first one's handle is none the worse for the second look.
    house.sign(&client, online, payload).unwrap();
    daemon.stop().unwrap();
}
