//! Two lines for every mistake.

use std::fs;

use crate::world::World;

#[test]
fn a_registry_is_made_once_from_a_sound_roster() {
    let world = World::new();
    let init = "keys init --roster roster.toml --propagation 96h --tail 48h";
    let (code, error, help) = world.fails(&format!("{init} --registry keys.registry"));
    assert_eq!((code, error.as_str()), (2, "keys.registry exists already"));
    assert_eq!(help, "nothing was overwritten; choose another --registry");
    let (_, error, _) = world.fails(&format!(
        "{init} --registry other.registry --destruction-wait-days 6"
    ));
    assert_eq!(error, "destruction_wait_days of 6 is not 7 to 30");

    let roster = fs::read_to_string(world.path("roster.toml")).unwrap();
    let alone = roster.replace("activate = 2", "activate = 1");
    fs::write(world.path("roster.toml"), alone).unwrap();
    let (code, error, _) = world.fails(&format!("{init} --registry other.registry"));
    assert_eq!(
        (code, error.as_str()),
        (2, "quorum activate = 1 is not 2 to 3")
    );
    assert!(!world.path("other.registry").exists());
}

#[test]
fn a_missing_registry_and_an_unknown_key_are_named() {
    let world = World::new();
    let (code, error, help) = world.fails("keys list --registry nowhere");
    assert_eq!(
        (code, error.as_str()),
        (2, "there is no registry at nowhere")
    );
    assert_eq!(
        help,
        "correct --registry, or make one with `obol-kms keys init`"
    );
    let spki = "ab".repeat(32);
    let (code, error, _) = world.fails(&format!("keys show {spki} --registry keys.registry"));
    assert_eq!(code, 1);
    assert_eq!(error, format!("key {spki} is not registered"));
}

#[test]
fn only_a_key_that_the_token_has_is_registered_and_only_once() {
    let world = World::with_root();
    let register = "keys register --registry keys.registry --token root.token.toml";
    let (code, error, _) = world.fails(&format!("{register} --label other --class root"));
    assert_eq!(
        (code, error.as_str()),
        (2, "0 keys of the token answer to that")
    );
    let (code, error, _) = world.fails(&format!("{register} --label root --class audit"));
    let text = "a key of class audit is not of algorithm ec-p384";
    assert_eq!((code, error.as_str()), (1, text));
    world.done(&format!(
        "{register} --label root --class root --lifetime-uses 500"
    ));
    let listed = world.json("keys list --registry keys.registry --json");
    assert_eq!(listed["keys"][0]["lifetime_uses"], 500);
    let (code, error, _) = world.fails(&format!("{register} --label root --class root"));
    assert_eq!(code, 1);
    assert!(error.ends_with(" is registered already"), "{error}");
}
