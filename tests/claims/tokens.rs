//! Tokens that are not there, not right, or not opened: nothing is written.

use obol_world::Ran;

use crate::stage::{Stage, two_lines};

/// Asks for a new root in the token that `tokens/issuer.token.toml` becomes by `change`.
fn create_with(stage: &Stage, change: impl FnOnce(String) -> String) -> Ran {
    let token = change(stage.read("tokens/issuer.token.toml"));
    stage.write("tokens/changed.token.toml", &token);
    let create = [
        "root",
        "create",
        "--token",
        "tokens/changed.token.toml",
        "--out",
        "new.pem",
    ];
    let ran = stage.world.tool("obol-kms").run(&create).unwrap();
    assert!(
        !stage.world.folder().join("new.pem").exists(),
        "half-written"
    );
    ran
}

/// The value behind `key = ` with its quotes.
fn quoted<'a>(toml: &'a str, key: &str) -> &'a str {
    let line = toml.lines().find(|line| line.starts_with(key)).unwrap();
    line.split(" = ").nth(1).unwrap()
}

#[test]
fn a_wrong_pin_is_two_lines_and_costs_one_try() {
    let stage = Stage::with_tokens();
    let pin = stage.read("tokens/issuer.pin");
    stage.write("tokens/issuer.pin", "98765432");
    let ran = create_with(&stage, |token| token);
    let (error, help) = two_lines(&ran, 2);
    assert_eq!(
        error,
        "token \"issuer\" refused the PIN of tokens/issuer.pin, which was tried once and is not \
         tried again: C_Login: CKR_PIN_INCORRECT"
    );
    assert_eq!(
        help,
        "correct the PIN file before the next try: tokens lock after a few wrong PINs"
    );
    stage.write("tokens/issuer.pin", &pin);
    stage.world.make_authorities().unwrap();
}

#[test]
fn a_daemon_with_a_wrong_pin_does_not_become_ready() {
    let stage = Stage::with_tokens();
    stage.world.make_authorities().unwrap();
    stage.world.make_registry().unwrap();
    stage.write("tokens/issuer.pin", "98765432");
    stage.write("kms.toml", &stage.world.kms_config().unwrap());
    let kms = stage.world.tool("obol-kms");
    let ran = kms.run(&["serve", "--config", "kms.toml"]).unwrap();
    let (error, _) = two_lines(&ran, 3);
    assert!(error.ends_with("C_Login: CKR_PIN_INCORRECT"), "{error}");
    assert_eq!(ran.stdout, "");
    assert!(!stage.world.folder().join("kms.sock").exists());
}

#[test]
fn a_token_that_is_not_there_is_two_lines_that_name_those_that_are() {
    let stage = Stage::with_tokens();
    let ran = create_with(&stage, |token| {
        let serial = quoted(&token, "serial").to_owned();
        token.replace(&serial, "\"0000000000000000\"")
    });
    let (error, help) = two_lines(&ran, 2);
    let named = "no token labelled \"issuer\" with serial \"0000000000000000\" in module /";
    assert!(error.starts_with(named), "{error}");
    for label in [
        "\"root\" (serial ",
        "\"access\" (serial ",
        "\"issuer\" (serial ",
    ] {
        assert!(error.contains(label), "{error}");
    }
    assert_eq!(
        help,
        "connect the token, or correct label and serial in the token file; for SoftHSM set \
         SOFTHSM2_CONF to the configuration it was made with"
    );
}

#[test]
fn a_wrong_path_to_the_module_is_two_lines_that_name_it() {
    let stage = Stage::with_tokens();
    let ran = create_with(&stage, |token| {
        let module = quoted(&token, "module").to_owned();
        token.replace(&module, "\"/nowhere/libhsm.so\"")
    });
    let (error, help) = two_lines(&ran, 2);
    assert_eq!(error, "PKCS#11 module /nowhere/libhsm.so does not exist");
    assert_eq!(
        help,
        "install the PKCS#11 module (for development the package softhsm2), or correct `module` \
         in the token file"
    );
}

#[test]
fn a_module_that_is_no_module_is_two_lines_that_name_it() {
    let stage = Stage::with_tokens();
    let text = stage.world.folder().join("tokens.toml");
    let ran = create_with(&stage, |token| {
        let module = quoted(&token, "module").to_owned();
        token.replace(&module, &format!("{:?}", text.to_string_lossy()))
    });
    let (error, help) = two_lines(&ran, 2);
    let named = format!("{} is not a PKCS#11 module: ", text.display());
    assert!(error.starts_with(&named), "{error}");
    assert_eq!(
        help,
        "correct `module` in the token file: it names the vendor's PKCS#11 library"
    );
}
