use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

const DRILL: &str = "token backup-drill --token root.token.toml --tokens tokens --out copy";

#[test]
fn a_copied_token_is_proven_by_its_keys_and_by_nothing_of_the_original() {
    let world = World::new(&["root"]);
    world.done("root create --token root.token.toml --out root.pem");
    let shown = world.json("token show --token root.token.toml --json");
    let spki = shown["keys"][0]["spki"].clone();
    let drilled = world.json(&format!("{DRILL} --json"));
    assert_eq!(drilled["keys"], serde_json::json!([spki]));
    let mode = fs::metadata(world.path("copy"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);

    // The original is lost; the copy alone opens, and signs the next revocation list.
    fs::remove_dir_all(world.path("tokens")).unwrap();
    let arguments = "crl create --authority root --ca root.pem --token root.token.toml --first \
                     --out root-1.crl";
    let signed = world
        .command(env!("CARGO_BIN_EXE_obol-kms"))
        .args(arguments.split_whitespace())
        .env("SOFTHSM2_CONF", world.path("copy/softhsm2.conf"))
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
}

#[test]
fn a_copy_of_the_wrong_folder_is_no_backup() {
    let world = World::new(&["root"]);
    world.done("root create --token root.token.toml --out root.pem");
    fs::create_dir(world.path("empty")).unwrap();
    let (code, error, help) = world.fails(&DRILL.replace("--tokens tokens", "--tokens empty"));
    assert_eq!(code, 2);
    assert!(error.contains("no token labelled"), "{error}");
    assert_eq!(help, "the copy is no backup; look above");
    let (code, error, _) = world.fails(DRILL);
    assert_eq!(code, 2);
    assert!(error.contains("copy"), "{error}");
}

#[test]
fn a_token_without_keys_proves_nothing() {
    let (code, error, _) = World::new(&["root"]).fails(DRILL);
    let expected = "the token has no key that could prove a copy";
    assert_eq!((code, error.as_str()), (1, expected));
}
