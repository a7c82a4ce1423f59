//! Tokens and PINs by PKCS#11 URI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::world::{World, text};

/// The URI of the root's token with this PIN source.
fn uri(world: &World, source: &str) -> String {
    let file = fs::read_to_string(world.path("root.token.toml")).unwrap();
    let value = |key: &str| {
        let line = file.lines().find(|line| line.starts_with(key)).unwrap();
        line.split(['\'', '"']).nth(1).unwrap().to_owned()
    };
    let (module, serial) = (value("module"), value("serial"));
    format!("pkcs11:token=root;serial={serial}?module-path={module}&pin-source={source}")
}

#[test]
fn a_token_is_opened_by_a_uri_on_the_command_line_and_in_its_file() {
    let world = World::with_root();
    let expected = world.json("token show --json --token root.token.toml");
    let by_uri = uri(&world, "file:root.pin");
    assert_eq!(
        world.json(&format!("token show --json --token {by_uri}")),
        expected
    );
    let full = by_uri.replace(
        "pkcs11:",
        "pkcs11:manufacturer=SoftHSM%20project;model=SoftHSM%20v2;",
    );
    fs::write(world.path("uri.token.toml"), format!("uri = \"{full}\"\n")).unwrap();
    assert_eq!(
        world.json("token show --json --token uri.token.toml"),
        expected
    );

    let other = full.replace("SoftHSM%20v2", "SoftHSM%20v3");
    let (code, error, _) = world.fails(&format!("token show --token {other}"));
    assert_eq!(code, 2);
    assert!(
        error.starts_with("no token labelled \"root\" with serial "),
        "{error}"
    );
}

#[test]
fn a_pin_in_a_uri_is_refused_and_not_printed() {
    let world = World::with_root();
    let by_value = uri(&world, "x").replace("pin-source=x", "pin-value=1234");
    let (code, error, help) = world.fails(&format!("token show --token {by_value}"));
    assert_eq!(code, 2);
    assert!(error.contains("pin-value is refused"), "{error}");
    assert!(!error.contains("1234") && !help.contains("1234"));
}

#[test]
fn a_pin_comes_as_a_credential_of_the_service_manager() {
    let world = World::with_root();
    let by_credential = uri(&world, "credential:root-pin");
    let show = format!("token show --token {by_credential}");
    let (_, error, help) = world.fails(&show);
    assert_eq!(
        error,
        "PIN credential \"root-pin\" was not passed: $CREDENTIALS_DIRECTORY is not set"
    );
    assert!(help.contains("LoadCredential="), "{help}");

    let folder = world.path("credentials");
    fs::create_dir(&folder).unwrap();
    let run = |mode| {
        fs::set_permissions(folder.join("root-pin"), PermissionsExt::from_mode(mode)).unwrap();
        let mut command = world.obol_kms(&show);
        command
            .env("CREDENTIALS_DIRECTORY", &folder)
            .output()
            .unwrap()
    };
    fs::write(folder.join("root-pin"), "1234\n").unwrap();
    assert!(run(0o400).status.success());
    assert!(run(0o440).status.success());
    let refused = run(0o444);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("root-pin has mode 0444"));
}

#[test]
fn a_person_is_asked_for_the_pin_without_echo() {
    let world = World::with_root();
    let by_prompt = uri(&world, "prompt:");
    // `script` gives the command a terminal of its own.
    let line = format!(
        "'{}' token show --token '{by_prompt}'",
        env!("CARGO_BIN_EXE_obol-kms")
    );
    let mut command = world.command("script");
    command.args(["-qec", &line, "/dev/null"]);
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        eprintln!("script (package bsdutils) is not installed: no terminal to ask at");
        return;
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"1234\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("PIN: ") && shown.contains("key "), "{shown}");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let world = World::with_root();
    let show = format!("token show --token {}", uri(&world, "prompt:"));
    let mut command = world.command("setsid");
    command
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_obol-kms"))
        .args(show.split(' '));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("error: no PIN could be asked for at the terminal"),
        "{told}"
    );
}
