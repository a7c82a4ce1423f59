//! Who gets in at the doors, who does not, and what each side is told.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};

use obol_world::{Ports, World};
use tempfile::TempDir;

use crate::{
    caller::{Caller, status_and_code},
    codes::noise,
    stage::{Stage, amounts, two_lines},
};

#[test]
fn a_client_without_a_certificate_is_refused_by_an_alert_and_the_server_logs_why() {
    let stage = Stage::running(&["bus-1"]);
    let terminals = format!("https://localhost:{}", stage.world.ports.terminals);
    let phone = stage.world.passenger("ada");
    let enrol = ["enrol", "--platform", &terminals, "--trust", "access.pem"];
    let (error, help) = two_lines(&phone.run(&enrol).unwrap(), 2);
    assert_eq!(
        error,
        format!(
            "the server {terminals}/v1/passengers refused this client's certificate (alert \
             certificate_required)"
        )
    );
    assert_eq!(help, "give this client its certificate and key");
    let reason = "reason=peer sent no certificates";
    stage.world.wait_for_log("platform", reason, 1).unwrap();

    let issuer = format!(
        "https://localhost:{}/v1/trust-bundle",
        stage.world.ports.issuer
    );
    let refused = Caller::nobody(&stage.world)
        .send(&issuer, &[], None)
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "the server {issuer} refused this client's certificate (alert certificate_required)"
        )
    );
    stage.world.wait_for_log("issuer", reason, 1).unwrap();
}

/// Gives bus-1 a certificate for its own request by the access CA of another deployment.
fn certified_by_a_stranger(stage: &Stage, common_name: &str) {
    let folder = TempDir::new().unwrap();
    let stranger = World::new(folder.path(), Ports::any()).unwrap();
    stranger.prepare_tokens().unwrap();
    let (root, access) = ("tokens/root.token.toml", "tokens/access.token.toml");
    let kms = stranger.tool("obol-kms");
    kms.succeed(&["root", "create", "--token", root, "--out", "root.pem"])
        .unwrap();
    kms.succeed(&[
        "access-ca",
        "create",
        "--token",
        access,
        "--out",
        "access.pem",
        "--root-token",
        root,
        "--root",
        "root.pem",
        "--common-name",
        common_name,
    ])
    .unwrap();
    let bus = stage.world.folder().join("bus-1");
    fs::remove_file(bus.join("terminal.pem")).unwrap();
    let file = |name: &str| bus.join(name).to_string_lossy().into_owned();
    stranger
        .certify("terminal", &file("terminal.csr"), &file("terminal.pem"))
        .unwrap();
}

#[test]
fn a_certificate_of_another_ca_is_refused_and_the_ride_waits() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    let ours = stage.read("bus-1/terminal.pem");
    // A CA of the same name fails by its signature, one of another name is not known at all.
    let names = openssl_subject(&stage);
    for (name, alert) in [
        (names.as_str(), "decrypt_error"),
        ("Another access CA", "unknown_ca"),
    ] {
        certified_by_a_stranger(&stage, name);
        let bus = stage.world.terminal("bus-1");
        for (command, port, path) in [
            ("upload", stage.world.ports.terminals, "/v1/segments"),
            ("sync", stage.world.ports.issuer, "/v1/trust-bundle"),
        ] {
            let (error, help) = two_lines(&bus.run(&[command]).unwrap(), 2);
            assert_eq!(
                error,
                format!(
                    "the server https://localhost:{port}{path} refused this client's certificate \
                     (alert {alert})"
                )
            );
            assert_eq!(
                help,
                "give a certificate that the access CA of this deployment issued"
            );
        }
    }
    let reason = "reason=the certificate is not trusted: ";
    stage.world.wait_for_log("platform", reason, 2).unwrap();
    stage.world.wait_for_log("issuer", reason, 2).unwrap();
    assert_eq!(amounts(&ada), [5_000]);

    stage.write("bus-1/terminal.pem", &ours);
    assert_eq!(
        stage.world.terminal("bus-1").upload().unwrap()["watermark"],
        1
    );
    assert_eq!(amounts(&ada), [5_000, -200]);
}

/// The common name of the world's own access CA.
fn openssl_subject(stage: &Stage) -> String {
    let asked = [
        "x509",
        "-noout",
        "-subject",
        "-nameopt",
        "multiline",
        "-in",
        "access.pem",
    ];
    let mut command = std::process::Command::new("openssl");
    let output = command
        .args(asked)
        .current_dir(stage.world.folder())
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let name = text
        .split("commonName")
        .nth(1)
        .unwrap()
        .split('=')
        .nth(1)
        .unwrap();
    name.trim().to_owned()
}

#[test]
fn a_certificate_of_ours_that_is_not_registered_is_refused_with_its_own_code() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    // Certified after the services read their registers; it believes what bus-1 believes.
    stage.world.certify_terminal("bus-9").unwrap();
    for file in ["trust-bundle.cbor", "fare-pack.cbor"] {
        let at = |bus: &str| stage.world.folder().join(bus).join(file);
        fs::copy(at("bus-1"), at("bus-9")).unwrap();
    }
    stage.ride(&ada, "bus-9", 1);
    let bus = stage.world.terminal("bus-9");
    let (error, help) = two_lines(&bus.run(&["upload"]).unwrap(), 1);
    assert_eq!(
        error,
        "the platform refused: The terminal is not registered (terminal-not-registered): \
         obol://terminal/bus-9 is unknown"
    );
    assert_eq!(
        help,
        "nothing is lost: the rides stay in the journal until the platform takes them"
    );
    let turned_away = "a terminal was turned away";
    stage
        .world
        .wait_for_log("platform", turned_away, 1)
        .unwrap();
    let (error, _) = two_lines(&bus.run(&["sync"]).unwrap(), 1);
    assert!(
        error.ends_with(
            "The client is not registered (not-registered): obol://terminal/bus-9 with this key \
             is not in the register"
        ),
        "{error}"
    );
    assert_eq!(amounts(&ada), [5_000]);

    let register = [
        "register-terminal",
        "--config",
        "platform.toml",
        "--certificate",
        "bus-9/terminal.pem",
    ];
    stage
        .world
        .tool("obol-platform")
        .succeed(&register)
        .unwrap();
    assert_eq!(bus.upload().unwrap()["watermark"], 1);
    assert_eq!(amounts(&ada), [5_000, -200]);
}

#[test]
fn a_terminal_may_not_ask_for_credentials() {
    let stage = Stage::running(&["bus-1"]);
    let bus = Caller::known(&stage.world, "bus-1/terminal.pem", "bus-1/terminal.key");
    let url = format!(
        "https://localhost:{}/v1/credentials",
        stage.world.ports.issuer
    );
    let problem = bus.refused(&url, &[], Some(b"{}"));
    assert_eq!(status_and_code(&problem), (403, "role-not-allowed"));
}

#[test]
fn noise_at_every_door_is_refused_and_the_service_goes_on() {
    let stage = Stage::running(&["bus-1"]);
    let ports = stage.world.ports;
    for port in [ports.issuer, ports.passengers, ports.terminals] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // The server may close before it has read everything: that is its answer.
        stream.write_all(&noise(64 * 1024)).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        // A TLS alert record, fatal (RFC 8446 section 6).
        assert_eq!(
            (answer.first(), answer.get(5)),
            (Some(&21), Some(&2)),
            "{answer:?}"
        );
    }
    stage
        .world
        .wait_for_log("issuer", "TLS handshake refused", 1)
        .unwrap();
    stage
        .world
        .wait_for_log("platform", "TLS handshake refused", 2)
        .unwrap();

    let bus = Caller::known(&stage.world, "bus-1/terminal.pem", "bus-1/terminal.key");
    let segments = format!("https://localhost:{}/v1/segments", ports.terminals);
    let cbor = [("Content-Type", "application/cbor")];
    let problem = bus.refused(&segments, &cbor, Some(&noise(64 * 1024)));
    assert_eq!(status_and_code(&problem), (422, "segment-refused"));
    let problem = bus.refused(&segments, &cbor, Some(&noise(1024 * 1024 + 1)));
    assert_eq!(status_and_code(&problem), (413, "body-too-large"));
    let problem = bus.refused(
        &format!("https://localhost:{}/nowhere", ports.terminals),
        &[],
        None,
    );
    assert_eq!(status_and_code(&problem), (404, "not-found"));

    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    assert_eq!(
        stage.world.terminal("bus-1").upload().unwrap()["watermark"],
        1
    );
}
