//! What officers see and sign.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

#[test]
fn an_officers_key_is_private_and_never_overwritten() {
    let world = World::new();
    let mode = |name: &str| world.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("alice.key"), 0o600);
    let (code, error, _) = world.fails("officer keygen --name alice --key alice.key");
    assert_eq!((code, error.as_str()), (2, "alice.key exists already"));
    let (code, error, _) = world.fails("officer keygen --name Alice --key other.key");
    let text = "officer name \"Alice\" is not 1 to 32 of a-z, 0-9 and -";
    assert_eq!((code, error.as_str()), (2, text));
    assert!(!world.path("other.key").exists());
}

#[test]
fn an_officer_reads_in_words_what_is_signed_and_signs_only_after_yes() {
    let world = World::with_root();
    let spki = world.published_root();
    world.done(&format!(
        "keys request {spki} activate --registry keys.registry --out a.request --valid-for 2h"
    ));
    let approve = "officer approve --request a.request --key alice.key --out a.approval";
    let (code, error, _) = world.fails(approve);
    assert_eq!((code, error.as_str()), (1, "nothing was signed"));
    assert!(!world.path("a.approval").exists());

    let (_, words) = world.typed(approve, "yes\n");
    let expected = format!(
        "Your signature will say:\n  the root key {spki}\n  \
         which is published (version 3) shall be active:\n  it will sign\n  in registry "
    );
    assert!(words.starts_with(&expected), "{words}");
    assert!(
        words.contains(" with roster ") && words.contains("\n  until "),
        "{words}"
    );
    assert!(world.path("a.approval").exists());
}

#[test]
fn a_key_that_others_can_read_signs_nothing() {
    let world = World::with_root();
    let spki = world.published_root();
    world.done(&format!(
        "keys request {spki} activate --registry keys.registry --out a.request"
    ));
    fs::set_permissions(world.path("alice.key"), PermissionsExt::from_mode(0o640)).unwrap();
    let approve = "officer approve --request a.request --key alice.key --out a.approval --yes";
    let (code, error, help) = world.fails(approve);
    assert_eq!(
        (code, error.as_str()),
        (2, "key file alice.key has mode 0640")
    );
    assert_eq!(
        help,
        "chmod 600 it, and make a new key if others could have read it"
    );
}

#[test]
fn what_is_no_request_no_approval_and_no_key_is_named() {
    let world = World::with_root();
    let spki = world.published_root();
    fs::write(world.path("junk"), "junk").unwrap();
    fs::set_permissions(world.path("junk"), PermissionsExt::from_mode(0o600)).unwrap();
    world.done(&format!(
        "keys request {spki} activate --registry keys.registry --out a.request"
    ));
    for (arguments, expected) in [
        (
            "officer approve --request junk --key alice.key --out x --yes".to_owned(),
            "junk is not a request: byte 0: map expected",
        ),
        (
            "officer approve --request a.request --key junk --out x --yes".to_owned(),
            "junk is not a P-256 private key in PKCS#8 PEM",
        ),
        (
            format!("keys activate {spki} --registry keys.registry --reason r --approval junk"),
            "junk is not an approval: byte 0: array expected",
        ),
    ] {
        let (code, error, _) = world.fails(&arguments);
        assert_eq!((code, error.as_str()), (2, expected));
    }
}

#[test]
fn an_approval_of_one_change_does_not_carry_another() {
    let world = World::with_root();
    let spki = world.published_root();
    let both = world.approvals(&spki, "activate", &["alice", "bob"]);
    let one = world.approvals(&spki, "compromise", &["alice"]);
    let activate = format!("keys activate {spki} --registry keys.registry --reason r");
    let (code, error, _) = world.fails(&format!("{activate} {one}"));
    let text = "the approval of \"alice\" is for another state after";
    assert_eq!((code, error.as_str()), (1, text));
    world.done(&format!("{activate} {both}"));
    world.approved(&spki, "suspend", &["alice"], "");
    let (_, error, _) = world.fails(&format!("{activate} {both}"));
    assert_eq!(
        error,
        "the approval of \"alice\" is for another state before"
    );
}
