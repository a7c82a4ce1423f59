//! The daemon from its configuration, as an operator starts it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::world::World;

#[test]
fn the_daemon_says_when_it_is_ready_and_ends_with_its_starter() {
    let (world, _) = World::with_daemon();
    let mut daemon = world
        .obol_kms("serve --config kms.toml --until-stdin-closes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready unix:kms.sock\n");
    for socket in ["kms.sock", "metrics.sock"] {
        let mode = world.path(socket).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{socket}");
    }
    assert_eq!(
        asked(&world, "/healthz"),
        ("200 OK".to_owned(), "ok\n".to_owned())
    );
    let (status, metrics) = asked(&world, "/metrics");
    assert_eq!(status, "200 OK");
    for line in [
        "obol_kms_token_state{token=\"root\",state=\"ready\"} 1",
        "obol_kms_queue_depth{token=\"root\"} 0",
        "obol_kms_requests_total{payload=\"credential-claims\",outcome=\"signed\"} 0",
        "obol_kms_sign_seconds_bucket{le=\"+Inf\"} 0",
        "obol_kms_audit_leaves 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert_eq!(asked(&world, "/").0, "404 Not Found");
    drop(daemon.stdin.take());
    assert!(daemon.wait().unwrap().success());
    assert!(!world.path("kms.sock").exists());
}

/// Status and body of a GET request on the metrics' socket.
fn asked(world: &World, path: &str) -> (String, String) {
    let mut stream = UnixStream::connect(world.path("metrics.sock")).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: kms\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap();
    (
        status.trim_start_matches("HTTP/1.1 ").to_owned(),
        body.to_owned(),
    )
}

#[test]
fn a_daemon_without_an_active_audit_key_does_not_start() {
    let (world, _) = World::with_daemon();
    let keys = world.json("keys list --registry keys.registry --json");
    let keys = keys["keys"].as_array().unwrap();
    let audit = keys.iter().find(|key| key["class"] == "audit").unwrap();
    world.approved(audit["spki"].as_str().unwrap(), "suspend", &["alice"], "");
    let (code, error, help) = world.fails("serve --config kms.toml");
    assert_eq!(
        (code, error.as_str()),
        (
            2,
            "no active key of class audit in these tokens may sign the log's checkpoints"
        )
    );
    assert!(
        help.starts_with("make one with `obol-kms keys generate --class audit`"),
        "{help}"
    );
    assert!(!world.path("kms.sock").exists());
}

#[test]
fn a_refused_pin_and_a_token_that_is_away_end_the_start_with_exit_codes_of_their_own() {
    let (world, _) = World::with_daemon();
    fs::write(world.path("root.pin"), "4321").unwrap();
    let (code, error, help) = world.fails("serve --config kms.toml");
    assert_eq!(code, 3, "{error}");
    assert!(error.ends_with("C_Login: CKR_PIN_INCORRECT"), "{error}");
    let advice = "correct the PIN file before the next try: tokens lock after a few wrong PINs";
    assert_eq!(help, advice);
    fs::write(world.path("root.pin"), "1234").unwrap();

    fs::rename(world.path("tokens"), world.path("away")).unwrap();
    fs::create_dir(world.path("tokens")).unwrap();
    let (code, error, _) = world.fails("serve --config kms.toml");
    assert_eq!(code, 4, "{error}");
    assert!(error.starts_with("no token labelled \"root\""), "{error}");
    fs::remove_dir(world.path("tokens")).unwrap();
    fs::rename(world.path("away"), world.path("tokens")).unwrap();

    // Nothing else has them: neither a file that is missing nor another command.
    fs::rename(world.path("root.pin"), world.path("root.pin.away")).unwrap();
    let (code, error, _) = world.fails("serve --config kms.toml");
    assert_eq!(code, 2, "{error}");
    fs::write(world.path("root.pin"), "4321").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    fs::set_permissions(world.path("root.pin"), mode).unwrap();
    let (code, error, _) = world.fails("token show --token root.token.toml");
    assert_eq!(code, 2, "{error}");
}

#[test]
fn a_log_folder_that_is_missing_is_not_made() {
    let (world, _) = World::with_daemon();
    fs::remove_dir(world.path("audit")).unwrap();
    let (code, error, help) = world.fails("serve --config kms.toml");
    assert_eq!(code, 2);
    assert!(
        error.starts_with("the audit log audit does not open: "),
        "{error}"
    );
    assert!(
        help.starts_with("make the folder of `folder` in [audit]"),
        "{help}"
    );
}

#[test]
fn a_certificate_that_is_no_issuers_certifies_no_issuer_key() {
    let world = World::with_root();
    world.registered("register --class issuer --label root");
    let certify = "keys certify --registry keys.registry --certificate root.pem";
    let (code, error, _) = world.fails(certify);
    assert_eq!(
        (code, error.as_str()),
        (1, "it is a CA certificate or lacks digitalSignature")
    );
}
