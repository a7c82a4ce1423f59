//! A key's life through the commands.

use std::fs;

use crate::world::World;

#[test]
fn a_key_goes_from_its_token_to_active_with_two_officers() {
    let world = World::with_root();
    let spki = world.published_root();
    let active = world.approved(&spki, "activate", &["alice", "bob"], "");
    assert_eq!(
        (&active["state"], &active["version"]),
        (&"active".into(), &4.into())
    );
    assert_eq!(active["certified"], true);

    let shown = world.json(&format!("keys show {spki} --registry keys.registry --json"));
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["approved_by"], serde_json::json!(["alice", "bob"]));
    assert_eq!(
        (&last["act"], &last["reason"]),
        (&"activate".into(), &"planned".into())
    );
    let told = world.done(&format!("keys show {spki} --registry keys.registry"));
    assert!(
        told.ends_with(" active: planned, approved by alice and bob\n"),
        "{told}"
    );
    world.done("keys examine --registry keys.registry");
}

#[test]
fn a_key_is_suspended_by_one_officer_and_returns_by_two() {
    let world = World::with_root();
    let spki = world.published_root();
    world.approved(&spki, "activate", &["alice", "bob"], "");
    world.approved(&spki, "suspend", &["carol"], "");
    let one = world.approvals(&spki, "activate", &["carol"]);
    let activate = format!("keys activate {spki} --registry keys.registry --reason back {one}");
    let (code, error, help) = world.fails(&activate);
    assert_eq!(
        (code, error.as_str()),
        (1, "unsuspend takes the approval of 2 officers, 1 given")
    );
    assert!(
        help.starts_with("`obol-kms keys request` writes what officers sign"),
        "{help}"
    );
    world.approved(&spki, "activate", &["alice", "carol"], "");
    world.approved(&spki, "retire", &["bob"], "");
    let (code, error, _) = world.fails(&format!(
        "keys retire {spki} --registry keys.registry --reason done"
    ));
    assert_eq!(code, 1);
    assert!(
        error.contains("is retiring and cannot become retired before 20"),
        "{error}"
    );
}

#[test]
fn a_key_is_destroyed_in_its_token_only_after_its_waiting_time() {
    let world = World::with_root();
    let spki = world.published_root();
    world.approved(&spki, "destroy", &["alice", "bob"], "");
    let destroy = format!("keys destroy {spki} --registry keys.registry --reason end");
    let approvals = world.approvals(&spki, "destroy", &["alice", "bob"]);
    let (_, error, help) = world.fails(&format!("{destroy} {approvals}"));
    assert!(
        error.starts_with("the key lies in the token with serial "),
        "{error}"
    );
    assert_eq!(
        help,
        "give --token, so that the key is destroyed there as well"
    );
    let (code, error, _) = world.fails(&format!("{destroy} {approvals} --token root.token.toml"));
    assert_eq!(code, 1);
    assert!(error.contains("is pending-destruction and cannot become destroyed before 20"));
    let shown = world.done("token show --token root.token.toml");
    assert!(shown.contains(&spki));

    let cancelled = world.approved(&spki, "cancel", &["bob", "carol"], "");
    assert_eq!(cancelled["state"], "published");
    let (code, error, _) = world.fails(&format!(
        "keys cancel {spki} --registry keys.registry --reason again"
    ));
    let text = "a key that is published has no destruction to call off";
    assert_eq!((code, error.as_str()), (1, text));
}

#[test]
fn a_token_that_looks_empty_makes_keys_unavailable_and_loses_none() {
    let world = World::with_root();
    let spki = world.published_root();
    world.approved(&spki, "activate", &["alice", "bob"], "");
    let list = "keys list --registry keys.registry --token root.token.toml";
    let before = world.json(&format!("{list} --json"));
    assert_eq!(before["keys"][0]["available"], true);

    // The token keeps its name and serial number, and its keys are gone.
    let token = fs::read_dir(world.path("tokens"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    for file in fs::read_dir(&token).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|e| e == "object") && !name.starts_with("token.") {
            fs::remove_file(&path).unwrap();
        }
    }
    let after = world.json(&format!("{list} --json"));
    assert_eq!(after["keys"][0]["available"], false);
    assert_eq!(after["keys"][0]["state"], "active");
    let told = world.done(list);
    assert!(
        told.ends_with(" UNAVAILABLE: its token does not show it\n"),
        "{told}"
    );
    let shown = world.json(&format!("keys show {spki} --registry keys.registry --json"));
    assert_eq!(
        (&shown["state"], &shown["version"]),
        (&"active".into(), &4.into())
    );
}

#[test]
fn a_registry_is_backed_up_and_restored_with_its_active_keys_suspended() {
    let world = World::with_root();
    let spki = world.published_root();
    world.approved(&spki, "activate", &["alice", "bob"], "");
    world.done("keys backup --registry keys.registry --out keys.backup");
    let (_, error, _) = world.fails("keys restore --backup keys.backup --out keys.registry");
    assert_eq!(error, "keys.registry exists already");
    let restored = world.json("keys restore --backup keys.backup --out new.registry --json");
    assert_eq!(restored["suspended"], serde_json::json!([spki]));
    let shown = world.json(&format!("keys show {spki} --registry new.registry --json"));
    assert_eq!(shown["state"], "suspended");

    let mut bytes = fs::read(world.path("keys.backup")).unwrap();
    let at = bytes
        .windows(6)
        .position(|window| window == b"active")
        .unwrap();
    bytes[at] = b'A';
    fs::write(world.path("keys.backup"), bytes).unwrap();
    let (code, _, help) = world.fails("keys restore --backup keys.backup --out third.registry");
    assert_eq!(
        (code, help.as_str()),
        (1, "nothing was restored; take an earlier backup")
    );
    assert!(!world.path("third.registry").exists());
}
