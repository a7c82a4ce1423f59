//! Enrolment by EST, with `openssl` and `curl` on the other side.

use std::path::Path;
use std::process::{Command, Output};

use data_encoding::BASE64;
use obol_transport::{Identity, Peer};
use serde_json::Value;

use crate::daemon::Fault::{Off, On};
use crate::process::Service;
use crate::world::{World, json_of};

const IDENTITY: &str = "obol://terminal/bus-7";
pub(crate) const USER: &str = "terminal/bus-7";

pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) platform: Identity,
    pub(crate) service: Service,
}

fn run(folder: &Path, command: &str, arguments: &[&str]) -> Output {
    let run = Command::new(command)
        .args(arguments)
        .current_dir(folder)
        .output();
    run.unwrap()
}

fn succeed(folder: &Path, command: &str, arguments: &[&str]) -> String {
    let output = run(folder, command, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

impl Town {
    pub(crate) fn new() -> Self {
        let world = World::new();
        world.certify_for_today();
        let platform = world.identity("platform", "obol://platform/main");
        world.write_enrolling_config(&[("obol://platform/main", &platform)]);
        let service = Service::start(&world);
        Self {
            world,
            platform,
            service,
        }
    }

    fn folder(&self) -> &Path {
        self.world.folder()
    }

    pub(crate) fn code(&self) -> String {
        let command = [
            "enrolment-code",
            "--config",
            "issuer.toml",
            "--identity",
            IDENTITY,
        ];
        let issuer = env!("CARGO_BIN_EXE_obol-issuer");
        succeed(self.folder(), issuer, &command).trim().to_owned()
    }

    /// A key and a request of openssl's making: `NAME.key`, `NAME.b64`.
    pub(crate) fn request(&self, name: &str, extension: &str, curve: &str) {
        let (key, der) = (format!("{name}.key"), format!("{name}.der"));
        let curve = format!("ec_paramgen_curve:{curve}");
        let make = [
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            &curve,
            "-nodes",
            "-keyout",
            &key,
            "-subj",
            "/CN=bus-7",
            "-addext",
            extension,
            "-outform",
            "DER",
            "-out",
            &der,
        ];
        succeed(self.folder(), "openssl", &make);
        let der = std::fs::read(self.world.path(&der)).unwrap();
        self.world
            .write(&format!("{name}.b64"), &BASE64.encode(&der));
    }

    /// Status and body.
    fn curl(&self, path: &str, more: &[&str]) -> (u16, String) {
        let url = format!(
            "{}/.well-known/est/{path}",
            self.service.enrolment.as_ref().unwrap()
        );
        let mut arguments = vec!["-sS", "--cacert", "access.pem", "-w", "\n%{http_code}"];
        arguments.extend(more);
        arguments.push(&url);
        let output = succeed(self.folder(), "curl", &arguments);
        let (body, status) = output.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    pub(crate) fn enrol(&self, name: &str, user: &str, code: &str) -> (u16, String) {
        let (body, user) = (format!("@{name}.b64"), format!("{user}:{code}"));
        let kind = "Content-Type: application/pkcs10";
        self.curl(
            "simpleenroll",
            &["-u", &user, "-H", kind, "--data-binary", &body],
        )
    }

    /// Writes the certificate of an answer as `NAME.pem`, by openssl.
    fn take(&self, name: &str, body: &str) {
        let cms = BASE64.decode(body.as_bytes()).unwrap();
        let (file, pem) = (format!("{name}.p7"), format!("{name}.pem"));
        std::fs::write(self.world.path(&file), cms).unwrap();
        let print = [
            "pkcs7",
            "-inform",
            "DER",
            "-in",
            &file,
            "-print_certs",
            "-out",
            &pem,
        ];
        succeed(self.folder(), "openssl", &print);
    }

    pub(crate) fn take_good(&self, name: &str, body: &str) {
        self.take(name, body);
        let pem = format!("{name}.pem");
        let verify = [
            "verify",
            "-CAfile",
            "access.pem",
            "-purpose",
            "sslclient",
            &pem,
        ];
        succeed(self.folder(), "openssl", &verify);
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let at = |kind| self.world.path(&format!("{name}.{kind}"));
        Identity::load(&at("pem"), &at("key")).unwrap()
    }
}

pub(crate) const SAN: &str = "subjectAltName=URI:obol://terminal/bus-7";

pub(crate) fn code_of(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_curl_enrol_renew_and_are_revoked() {
    let town = Town::new();
    let (status, ca) = town.curl("cacerts", &[]);
    assert_eq!(status, 200);
    town.take("ca", &ca);
    let read = |name: &str| std::fs::read_to_string(town.world.path(name)).unwrap();
    let body = |pem: &str| {
        pem.split("-----")
            .nth(2)
            .unwrap()
            .split_whitespace()
            .collect::<String>()
    };
    assert_eq!(body(&read("ca.pem")), body(&read("access.pem")));
    let (status, attributes) = town.curl("csrattrs", &[]);
    assert_eq!(
        (status, attributes.as_str()),
        (200, "MCEwFQYHKoZIzj0CATEKBggqhkjOPQMBBwYIKoZIzj0EAwI=")
    );

    town.request("first", SAN, "P-256");
    let code = town.code();
    let (status, body) = town.enrol("first", USER, &code);
    assert_eq!(status, 200, "{body}");
    town.take_good("first", &body);
    // An answer that was lost is given again to the same key.
    assert_eq!(town.enrol("first", USER, &code), (200, body));
    let peer = Peer::load(&town.world.path("first.pem")).unwrap();
    assert_eq!(
        (peer.uri.as_str(), peer.role.as_str()),
        (IDENTITY, "terminal")
    );

    let terminal = town.service.caller(&town.world, &town.identity("first"));
    let url = format!("{}/v1/trust-bundle", terminal.base);
    terminal.http.get(&url).await.unwrap().success().unwrap();

    town.request("second", SAN, "P-256");
    let kind = "Content-Type: application/pkcs10";
    let shown = [
        "--cert",
        "first.pem",
        "--key",
        "first.key",
        "-H",
        kind,
        "--data-binary",
    ];
    let (status, body) = town.curl("simplereenroll", &[&shown[..], &["@second.b64"]].concat());
    assert_eq!(status, 200, "{body}");
    town.take_good("second", &body);
    let (status, body) = town.curl("simplereenroll", &[&shown[..], &["@second.b64"]].concat());
    assert_eq!((status, code_of(&body).as_str()), (409, "key-reused"));

    let platform = town.service.caller(&town.world, &town.platform);
    let spki = data_encoding::HEXLOWER.encode(&town.identity("first").spki());
    let path = format!("/v1/members/{spki}/revoke");
    let revoked = platform.post(&path, &[], &Value::Null).await;
    let serial = json_of(&revoked, 200)["serial"]
        .as_str()
        .unwrap()
        .to_uppercase();
    let show = [
        "crl",
        "-in",
        "access.crl.pem",
        "-noout",
        "-text",
        "-CAfile",
        "access.pem",
    ];
    let list = succeed(town.folder(), "openssl", &show);
    assert!(list.contains(&format!("Serial Number: {serial}")), "{list}");
    // Out of the register at once; refused by TLS as soon as the list is read.
    loop {
        match terminal.http.get(&url).await {
            Ok(reply) => assert_eq!(reply.status, 403),
            Err(obol_transport::TransportError::CertificateRefused { alert, .. }) => {
                assert_eq!(alert, "certificate_revoked");
                break;
            }
            // The open connection was closed under the request.
            Err(obol_transport::TransportError::ConnectionLost { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let renewed = town.service.caller(&town.world, &town.identity("second"));
    renewed.http.get(&url).await.unwrap().success().unwrap();
    let members = platform.get("/v1/members").await;
    assert_eq!(members["members"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_for_one_identity_and_key_and_for_five_wrong_tries() {
    let town = Town::new();
    let code = town.code();
    town.request("first", SAN, "P-256");
    town.request("other", SAN, "P-256");
    town.request("bus-8", "subjectAltName=URI:obol://terminal/bus-8", "P-256");
    let refused = |name, user, code: &str| {
        let (status, body) = town.enrol(name, user, code);
        assert_eq!(
            (status, code_of(&body).as_str()),
            (401, "enrolment-refused")
        );
    };
    // Another identity's name with this code, and this name with another identity's request.
    refused("bus-8", "terminal/bus-8", &code);
    refused("bus-8", USER, &code);
    let wrong = "0".repeat(32);
    refused("first", USER, &wrong);
    assert_eq!(town.enrol("first", USER, &code).0, 200);
    refused("other", USER, &code);

    let code = town.code();
    for _ in 0..5 {
        refused("other", USER, &wrong);
    }
    refused("other", USER, &code);
    // A new code begins anew.
    let code = town.code();
    assert_eq!(town.enrol("other", USER, &code).0, 200);
    // Without a certificate nobody renews.
    let kind = "Content-Type: application/pkcs10";
    let (status, body) = town.curl(
        "simplereenroll",
        &["-H", kind, "--data-binary", "@first.b64"],
    );
    assert_eq!((status, code_of(&body).as_str()), (403, "not-registered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_another_form_is_refused_and_costs_no_try() {
    let town = Town::new();
    let code = town.code();
    town.request("p384", SAN, "P-384");
    town.request(
        "host",
        "subjectAltName=URI:obol://terminal/bus-7,DNS:localhost",
        "P-256",
    );
    town.request("issuer", "subjectAltName=URI:obol://issuer/main", "P-256");
    town.request("ca", "basicConstraints=critical,CA:TRUE", "P-256");
    town.request("good", SAN, "P-256");
    let der = std::fs::read(town.world.path("good.der")).unwrap();
    let mut forged = der.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    town.world.write("forged.b64", &BASE64.encode(&forged));
    town.world
        .write("long.b64", &BASE64.encode(&[der.clone(), vec![0]].concat()));
    town.world.write("noise.b64", "@@@");
    for name in ["p384", "host", "issuer", "ca", "forged", "long", "noise"] {
        let (status, body) = town.enrol(name, USER, &code);
        assert_eq!(
            (status, code_of(&body).as_str()),
            (400, "request-refused"),
            "{name}"
        );
    }
    assert_eq!(town.enrol("good", USER, &code).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_still_good_when_no_certificate_could_be_signed_and_its_key_is_the_first_that_asked()
 {
    let town = Town::new();
    let code = town.code();
    town.request("first", SAN, "P-256");
    town.request("other", SAN, "P-256");
    town.world.access_token().set(|token| &token.hangs, On);
    let (status, body) = town.enrol("first", USER, &code);
    let refused = (status, code_of(&body));
    assert_eq!(refused, (503, "certifying-unavailable".to_owned()));
    town.world.access_token().set(|token| &token.hangs, Off);
    let (status, body) = town.enrol("first", USER, &code);
    assert_eq!(status, 200, "{body}");
    town.take_good("first", &body);
    assert_eq!(town.enrol("other", USER, &code).0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_any_request_is_refused_and_costs_no_try() {
    let town = Town::new();
    let code = town.code();
    town.request("good", SAN, "P-256");
    let good = std::fs::read_to_string(town.world.path("good.b64")).unwrap();
    town.world
        .write("longer.b64", &(good.clone() + &"A".repeat(9 * 1024)));
    town.world
        .write("huge.b64", &(good + &"A".repeat(1024 * 1024)));
    for _ in 0..6 {
        let (status, body) = town.enrol("longer", USER, &code);
        let refused = (status, code_of(&body));
        assert_eq!(refused, (413, "body-too-large".to_owned()));
    }
    // Of what is much longer the rest is not read, so curl may see the connection's end alone.
    let url = format!(
        "{}/.well-known/est/simpleenroll",
        town.service.enrolment.as_ref().unwrap()
    );
    let (user, kind) = (format!("{USER}:{code}"), "Content-Type: application/pkcs10");
    for version in ["--http1.1", "--http2"] {
        let sent = [
            "-sS",
            "--cacert",
            "access.pem",
            version,
            "-u",
            &user,
            "-H",
            kind,
        ];
        let body = ["--data-binary", "@huge.b64", &url];
        let output = run(town.folder(), "curl", &[&sent[..], &body].concat());
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(
            !output.status.success() || code_of(&told) == "body-too-large",
            "{told}"
        );
    }
    assert_eq!(town.enrol("good", USER, &code).0, 200);
}
