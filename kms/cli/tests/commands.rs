//! The commands as a person runs them, on tokens made with SoftHSM's own tool.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(tokens: &[&str]) -> World {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.path("tokens")).unwrap();
        let conf = format!(
            "directories.tokendir = {}\n",
            world.path("tokens").display()
        );
        fs::write(world.path("softhsm2.conf"), conf).unwrap();
        for token in tokens {
            world.make_token(token);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn module() -> &'static str {
        MODULES
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command
    }

    fn make_token(&self, name: &str) {
        let made = self
            .command("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                name,
                "--pin",
                "1234",
                "--so-pin",
                "5678",
            ])
            .output()
            .unwrap();
        assert!(made.status.success());
        let shown = self.obol_kms(&format!("token show --json --module {}", World::module()));
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let tokens = shown["tokens"].as_array().unwrap();
        let serial = tokens.iter().find(|token| token["label"] == name).unwrap()["serial"].clone();
        let text = format!(
            "module = '{}'\nlabel = '{name}'\nserial = {serial}\npin_file = '{name}.pin'\n",
            World::module()
        );
        fs::write(self.path(&format!("{name}.token.toml")), text).unwrap();
        let pin = self.path(&format!("{name}.pin"));
        fs::write(&pin, "1234").unwrap();
        fs::set_permissions(&pin, PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn obol_kms(&self, arguments: &str) -> Output {
        self.command(env!("CARGO_BIN_EXE_obol-kms"))
            .args(arguments.split_whitespace())
            .output()
            .unwrap()
    }

    fn done(&self, arguments: &str) -> String {
        let output = self.obol_kms(arguments);
        assert!(
            output.status.success(),
            "{arguments}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Exit code and the two lines on standard error.
    fn fails(&self, arguments: &str) -> (i32, String, String) {
        let output = self.obol_kms(arguments);
        assert_eq!(text(&output.stdout), "", "{arguments}");
        let stderr = text(&output.stderr);
        let lines: Vec<_> = stderr.lines().collect();
        let [error, help] = lines.as_slice() else {
            panic!("{arguments}: {stderr}")
        };
        (
            output.status.code().unwrap(),
            error.strip_prefix("error: ").unwrap().to_owned(),
            help.strip_prefix("help: ").unwrap().to_owned(),
        )
    }

    fn request(&self, name: &str, alternative_names: &str) {
        let made = self
            .command("openssl")
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args([
                "-nodes",
                "-subj",
                "/CN=ignored",
                "-keyout",
                &format!("{name}.key"),
            ])
            .args(["-addext", &format!("subjectAltName={alternative_names}")])
            .args(["-out", &format!("{name}.csr")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const ROOT: &str = "root create --token root.token.toml --out root.pem";
const ACCESS: &str = "access-ca create --root-token root.token.toml --root root.pem \
                      --token access.token.toml --out access.pem";
const ISSUER: &str = "issuer create --root-token root.token.toml --root root.pem \
                      --token issuer.token.toml --operator linea --classes 1,2 --out issuer.pem";

#[test]
fn the_whole_hierarchy_is_made_by_commands_and_openssl_believes_it() {
    let world = World::new(&["root", "access", "issuer"]);
    for command in [ROOT, ACCESS, ISSUER] {
        world.done(command);
    }
    world.request(
        "server",
        "URI:obol://issuer/main,DNS:localhost,IP:127.0.0.1",
    );
    world.done(
        "certify --profile server --csr server.csr --ca access.pem --token access.token.toml --out server.pem",
    );
    let verified = world
        .command("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "access.pem",
        ])
        .args(["access.pem", "issuer.pem", "server.pem"])
        .output()
        .unwrap();
    assert_eq!(
        text(&verified.stdout),
        "access.pem: OK\nissuer.pem: OK\nserver.pem: OK\n"
    );

    let shown = world.done("token show --token issuer.token.toml");
    assert!(
        shown
            .lines()
            .any(|line| line.ends_with(" ECDSA P-384 issuer-linea")),
        "{shown}"
    );
}

#[test]
fn another_tool_sees_the_key_as_it_was_asked_for() {
    let world = World::new(&["root"]);
    world.done(ROOT);
    let Ok(listed) = world
        .command("pkcs11-tool")
        .args([
            "--module",
            World::module(),
            "--token-label",
            "root",
            "--login",
            "--pin",
            "1234",
        ])
        .args(["--list-objects", "--type", "privkey"])
        .output()
    else {
        eprintln!("pkcs11-tool (package opensc) is not installed: nothing to compare with");
        return;
    };
    let listed = text(&listed.stdout);
    assert!(listed.contains("Usage:      sign\n"), "{listed}");
    let access = "Access:     sensitive, always sensitive, never extractable, local\n";
    assert!(listed.contains(access), "{listed}");
}

#[test]
fn nothing_is_overwritten_and_no_key_is_lost_on_it() {
    let world = World::new(&["root"]);
    world.done(ROOT);
    let before = fs::read(world.path("root.pem")).unwrap();
    let (code, error, help) = world.fails(ROOT);
    assert_eq!((code, error.as_str()), (2, "root.pem exists already"));
    assert_eq!(
        help,
        "nothing was overwritten; choose another --out or move that file away"
    );
    assert_eq!(fs::read(world.path("root.pem")).unwrap(), before);

    let (_, error, _) = world.fails("root create --token root.token.toml --out other.pem");
    assert_eq!(error, "the token already has a key labelled \"root\"");
    assert_eq!(
        world
            .done("token show --token root.token.toml")
            .matches("\nkey ")
            .count(),
        1
    );
}

#[test]
fn a_key_whose_certificate_cannot_be_made_is_discarded() {
    let world = World::new(&["root", "issuer"]);
    world.done(&format!("{ROOT} --days 30"));
    let (code, error, _) = world.fails(ISSUER);
    assert_eq!(code, 1);
    assert!(
        error.contains("after its issuer's certificate ends"),
        "{error}"
    );
    assert!(
        !world
            .done("token show --token issuer.token.toml")
            .contains("\nkey ")
    );
    assert!(!world.path("issuer.pem").exists());
    world.done(&format!("{ISSUER} --days 10"));
}

#[test]
fn a_wrong_pin_is_two_lines() {
    let world = World::new(&["root"]);
    fs::write(world.path("root.pin"), "9999").unwrap();
    let (code, error, help) = world.fails(ROOT);
    assert_eq!(code, 2);
    assert_eq!(
        error,
        "token \"root\" refused the PIN of root.pin, which was tried once and is not tried again: C_Login: CKR_PIN_INCORRECT"
    );
    assert_eq!(
        help,
        "correct the PIN file before the next try: tokens lock after a few wrong PINs"
    );
    assert!(!world.path("root.pem").exists());
}

#[test]
fn a_wrong_pin_reaches_the_token_once() {
    const SPIES: [&str; 3] = [
        "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so",
        "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so",
        "/usr/lib64/pkcs11-spy.so",
    ];
    let Some(spy) = SPIES.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("pkcs11-spy (package opensc) is not installed: nothing to count with");
        return;
    };
    let world = World::new(&["root"]);
    let file = fs::read_to_string(world.path("root.token.toml")).unwrap();
    let watched = file.replace(World::module(), spy);
    fs::write(world.path("watched.token.toml"), watched).unwrap();
    let logins = |pin: &str, log: &str| {
        fs::write(world.path("root.pin"), pin).unwrap();
        let shown = world
            .command(env!("CARGO_BIN_EXE_obol-kms"))
            .args(["token", "show", "--token", "watched.token.toml"])
            .env("PKCS11SPY", World::module())
            .env("PKCS11SPY_OUTPUT", world.path(log))
            .output()
            .unwrap();
        let calls = fs::read_to_string(world.path(log)).unwrap();
        (shown.status.code(), calls.matches(": C_Login\n").count())
    };
    assert_eq!(logins("1234", "right.log"), (Some(0), 1));
    assert_eq!(logins("9999", "wrong.log"), (Some(2), 1));
}

#[test]
fn an_unknown_token_is_two_lines() {
    let world = World::new(&["root"]);
    let file = fs::read_to_string(world.path("root.token.toml")).unwrap();
    let other = file.replace("label = 'root'", "label = 'rood'");
    fs::write(world.path("rood.token.toml"), other).unwrap();
    let (code, error, help) = world.fails("root create --token rood.token.toml --out root.pem");
    assert_eq!(code, 2);
    assert!(
        error.starts_with("no token labelled \"rood\" with serial "),
        "{error}"
    );
    assert!(error.contains("; it has \"root\" (serial "), "{error}");
    assert!(help.contains("SOFTHSM2_CONF"), "{help}");
}

#[test]
fn a_wrong_module_path_is_two_lines() {
    let world = World::new(&["root"]);
    let file = fs::read_to_string(world.path("root.token.toml")).unwrap();
    let other = file.replace(World::module(), "/nowhere/lib.so");
    fs::write(world.path("other.token.toml"), other).unwrap();
    let (code, error, help) = world.fails("token show --token other.token.toml");
    assert_eq!(
        (code, error.as_str()),
        (2, "PKCS#11 module /nowhere/lib.so does not exist")
    );
    assert!(help.contains("softhsm2"), "{help}");
}

#[test]
fn a_request_outside_the_profile_is_refused() {
    let world = World::new(&["root", "access"]);
    world.done(ROOT);
    world.done(ACCESS);
    world.request("t", "URI:obol://terminal/t1");
    let (code, error, help) = world.fails(
        "certify --profile server --csr t.csr --ca access.pem --token access.token.toml --out t.pem",
    );
    assert_eq!(
        (code, error.as_str()),
        (1, "role \"terminal\" does not fit the Server profile")
    );
    assert_eq!(
        help,
        "terminals take --profile terminal, services server or client"
    );
    assert!(!world.path("t.pem").exists());
}

impl World {
    /// Root, access CA and two clients, `a.pem` and `b.pem`.
    fn with_clients() -> World {
        let world = World::new(&["root", "access"]);
        world.done(ROOT);
        world.done(ACCESS);
        for name in ["a", "b"] {
            world.request(name, &format!("URI:obol://platform/{name}"));
            world.done(&format!(
                "certify --profile client --csr {name}.csr --ca access.pem --token access.token.toml --out {name}.pem"
            ));
        }
        world
    }

    fn openssl(&self, arguments: &str) -> String {
        let output = self
            .command("openssl")
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }
}

const ROOT_CRL: &str = "crl create --authority root --ca root.pem --token root.token.toml";
const ACCESS_CRL: &str =
    "crl create --authority access-ca --ca access.pem --token access.token.toml";
const CHECK: &str = "verify -x509_strict -crl_check_all -CAfile root.pem -untrusted access.pem \
                     -CRLfile root-1.crl -CRLfile";

#[test]
fn openssl_refuses_a_revoked_certificate_and_no_other() {
    let world = World::with_clients();
    world.done(&format!("{ROOT_CRL} --first --out root-1.crl"));
    let made = world.done(&format!("{ACCESS_CRL} --first --out access-1.crl"));
    assert_eq!(made, "number 1 revokes 0 access-1.crl\n");
    for (list, ca) in [("root-1.crl", "root.pem"), ("access-1.crl", "access.pem")] {
        let verdict = world.openssl(&format!("crl -in {list} -CAfile {ca} -noout -verify"));
        assert_eq!(verdict, "verify OK\n");
    }
    assert_eq!(
        world.openssl(&format!("{CHECK} access-1.crl a.pem b.pem")),
        "a.pem: OK\nb.pem: OK\n"
    );

    world.done(&format!(
        "{ACCESS_CRL} --previous access-1.crl --revoke a.pem --reason key-compromise --out access-2.crl"
    ));
    let verdict = world.openssl(&format!("{CHECK} access-2.crl a.pem"));
    assert!(verdict.contains("certificate revoked"), "{verdict}");
    assert_eq!(
        world.openssl(&format!("{CHECK} access-2.crl b.pem")),
        "b.pem: OK\n"
    );
    let shown = world.openssl("crl -in access-2.crl -noout -text");
    assert!(shown.contains("Key Compromise"), "{shown}");
}

#[test]
fn what_was_revoked_stays_revoked_and_the_number_counts_up() {
    let world = World::with_clients();
    world.done(&format!("{ACCESS_CRL} --first --revoke a.pem --out 1.crl"));
    let made = world.done(&format!(
        "{ACCESS_CRL} --previous 1.crl --revoke b.pem --out 2.crl --json"
    ));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!((&made["number"], &made["revoked"]), (&2.into(), &2.into()));
    let third = world.done(&format!("{ACCESS_CRL} --previous 2.crl --out 3.crl"));
    assert_eq!(third, "number 3 revokes 2 3.crl\n");
    assert_eq!(
        world.openssl("crl -in 3.crl -noout -crlnumber"),
        "crlNumber=0x03\n"
    );
    let (code, error, _) = world.fails(&format!(
        "{ACCESS_CRL} --previous 2.crl --revoke a.pem --out x.crl"
    ));
    assert_eq!(code, 1);
    assert!(error.ends_with(" is revoked already"), "{error}");
    assert!(!world.path("x.crl").exists());
}

#[test]
fn an_authority_revokes_only_what_it_issued_and_follows_only_its_own_list() {
    let world = World::with_clients();
    let (code, error, help) =
        world.fails(&format!("{ROOT_CRL} --first --revoke a.pem --out x.crl"));
    assert_eq!(code, 1);
    assert!(
        error.ends_with(" was not issued by this authority"),
        "{error}"
    );
    assert_eq!(help, "give --authority and --ca of the one that issued it");
    world.done(&format!(
        "{ROOT_CRL} --first --revoke access.pem --out root-1.crl"
    ));
    let (code, error, _) = world.fails(&format!("{ACCESS_CRL} --previous root-1.crl --out x.crl"));
    assert_eq!(
        (code, error.as_str()),
        (
            1,
            "the previous revocation list is not signed by this authority"
        )
    );
}

#[test]
fn a_validity_beyond_the_profile_is_refused_before_anything_is_signed() {
    let world = World::with_clients();
    let (code, error, help) = world.fails(
        "certify --profile client --csr a.csr --ca access.pem --token access.token.toml --out c.pem --days 400",
    );
    assert_eq!(code, 1);
    let beginning =
        "nothing was signed, because rules are broken: validity-within-profile (version 1, ";
    assert!(error.starts_with(beginning), "{error}");
    assert_eq!(
        help,
        "change what was asked for; policies/lints.toml says what each rule wants"
    );
    assert!(!world.path("c.pem").exists());
}
