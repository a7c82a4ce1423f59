//! Modules, tokens and PINs that are not what the configuration says.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use obol_kms::{
    ConfigError, FinalizeError, InitializeError, LoadError, Module, OpenError, Pin, PinSource,
    Token, TokenConfig,
};

use crate::world::{World, in_a_world};

#[test]
fn a_wrong_module_path_is_named() {
    let error = Module::load(Path::new("/nowhere/libpkcs11.so")).unwrap_err();
    assert!(matches!(error, LoadError::Missing(_)));
    assert_eq!(
        error.to_string(),
        "PKCS#11 module /nowhere/libpkcs11.so does not exist"
    );
}

#[test]
fn a_file_that_is_no_module_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libpkcs11.so");
    fs::write(&path, "no library").unwrap();
    let error = Module::load(&path).unwrap_err();
    assert!(matches!(error, LoadError::NotAModule { .. }));
    assert!(
        error
            .to_string()
            .contains("libpkcs11.so is not a PKCS#11 module: "),
        "{error}"
    );
}

#[test]
fn a_module_is_loaded_once_and_finalised_when_its_last_token_is_gone() {
    in_a_world(
        "opening::a_module_is_loaded_once_and_finalised_when_its_last_token_is_gone",
        |world| {
            let token = world.token("only");
            let again = Module::load(&World::module_path()).unwrap_err();
            assert!(matches!(again, LoadError::AlreadyLoaded(_)));
            drop(token);
            world.unload();

            let config = TokenConfig::load(&world.token_file("only")).unwrap();
            let module = Module::load(&World::module_path()).unwrap();
            let token = Token::open(&module, &config, 1).unwrap();
            assert!(matches!(module.finalize(), Err(FinalizeError::InUse(1))));
            drop(token);
            Module::load(&World::module_path())
                .unwrap()
                .finalize()
                .unwrap();
        },
    );
}

#[test]
fn an_unknown_token_is_named_with_what_is_there() {
    in_a_world(
        "opening::an_unknown_token_is_named_with_what_is_there",
        |world| {
            let known = world.new_token("known");
            for config in [
                TokenConfig {
                    label: "other".to_owned(),
                    ..known.clone()
                },
                TokenConfig {
                    serial: "0000000000000000".to_owned(),
                    ..known.clone()
                },
            ] {
                let error = world
                    .with_module(|module| Token::open(module, &config, 1))
                    .unwrap_err();
                assert!(matches!(&error, OpenError::NoSuchToken { found, .. } if found.len() == 1));
                let seen = format!("it has \"known\" (serial {})", known.serial);
                assert!(error.to_string().contains(&seen), "{error}");
                assert!(
                    error.to_string().contains(&format!("{:?}", config.label)),
                    "{error}"
                );
            }
        },
    );
}

#[test]
fn a_module_without_tokens_says_so() {
    in_a_world("opening::a_module_without_tokens_says_so", |world| {
        let config = TokenConfig {
            module: World::module_path(),
            label: "root".to_owned(),
            serial: "1".to_owned(),
            model: None,
            manufacturer: None,
            pin: PinSource::File(world.folder.join("root.pin")),
        };
        let error = world
            .with_module(|module| Token::open(module, &config, 1))
            .unwrap_err();
        assert!(
            error.to_string().ends_with("; it has no initialised token"),
            "{error}"
        );
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_named() {
    in_a_world("opening::a_wrong_pin_is_tried_once_and_named", |world| {
        let config = world.new_token("locked");
        fs::write(pin_file(&config), "wrong-pin").unwrap();
        let error = world
            .with_module(|module| Token::open(module, &config, 1))
            .unwrap_err();
        assert!(matches!(&error, OpenError::WrongPin { label, .. } if label == "locked"));
        let pin_file = pin_file(&config).display();
        assert_eq!(
            error.to_string(),
            format!(
                "token \"locked\" refused the PIN of {pin_file}, which was tried once and is not tried again"
            )
        );
        assert_eq!(
            error.source().unwrap().to_string(),
            "C_Login: CKR_PIN_INCORRECT"
        );
        assert!(!format!("{error:?}").contains("wrong-pin"));
    });
}

#[test]
fn a_pin_file_that_others_can_read_is_refused_before_the_token_sees_it() {
    in_a_world(
        "opening::a_pin_file_that_others_can_read_is_refused_before_the_token_sees_it",
        |world| {
            let config = world.new_token("open");
            fs::set_permissions(pin_file(&config), PermissionsExt::from_mode(0o640)).unwrap();
            let error = world
                .with_module(|module| Token::open(module, &config, 1))
                .unwrap_err();
            assert!(matches!(
                error,
                OpenError::Pin(ConfigError::PinMode { mode: 0o640, .. })
            ));
            fs::set_permissions(pin_file(&config), PermissionsExt::from_mode(0o400)).unwrap();
            world.open(&config, 1);
        },
    );
}

#[test]
fn a_pin_has_four_to_255_printable_bytes_and_no_formatter_shows_it() {
    for refused in [
        &b"123"[..],
        &[b'1'; 256],
        b"12 34",
        b"1234\n",
        "1234é".as_bytes(),
        b"",
    ] {
        assert!(Pin::new(refused).is_none(), "{refused:?}");
    }
    assert_eq!(format!("{:?}", Pin::new(b"1234").unwrap()), "Pin(..)");
}

#[test]
fn a_token_file_is_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.token.toml");
    let whole = "module = '/m'\nlabel = 'l'\nserial = 's'\npin_file = 'p'\n";
    fs::write(&path, whole).unwrap();
    assert_eq!(
        TokenConfig::load(&path).unwrap().pin,
        PinSource::File(folder.path().join("p"))
    );
    for broken in [
        format!("{whole}slot = 1\n"),
        whole.replace("serial = 's'\n", ""),
    ] {
        fs::write(&path, broken).unwrap();
        assert!(matches!(
            TokenConfig::load(&path),
            Err(ConfigError::Syntax { .. })
        ));
    }
    fs::write(&path, "#".repeat(17 * 1024)).unwrap();
    assert!(matches!(
        TokenConfig::load(&path),
        Err(ConfigError::TooLong(_))
    ));
}

#[test]
fn a_token_label_is_given_once() {
    in_a_world("opening::a_token_label_is_given_once", |world| {
        world.new_token("one");
        let pin = Pin::new(b"1234").unwrap();
        let error = world
            .with_module(|module| module.initialize_token("one", &pin, &pin))
            .unwrap_err();
        assert!(matches!(error, InitializeError::LabelTaken(label) if label == "one"));
    });
}

fn pin_file(config: &TokenConfig) -> &Path {
    match &config.pin {
        PinSource::File(path) => path,
        other => panic!("the PIN is in {other}"),
    }
}
