//! Files that are, and files that are not, registries.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use obol_kms_registry::{Fault, OpenError, Registry, RegistryId, Settings};
use rusqlite::Connection;

use crate::world::{NOW, World, roster};

fn settings() -> Settings {
    Settings::new(0, 0, 7).unwrap()
}

#[test]
fn a_new_registry_is_private_and_overwrites_nothing() {
    let world = World::new();
    let path = world.registry.path();
    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let again = Registry::create(path, &roster(), settings(), RegistryId([8; 16]), NOW);
    assert!(matches!(again, Err(OpenError::Exists(_))));
    assert_eq!(world.again().id(), RegistryId([7; 16]));
}

#[test]
fn what_an_interrupted_creation_left_is_no_obstacle() {
    let world = World::new();
    let path = world.path("second.registry");
    fs::write(&path, "").unwrap();
    let made = Registry::create(&path, &roster(), settings(), RegistryId([8; 16]), NOW).unwrap();
    assert_eq!(made.id(), RegistryId([8; 16]));
}

#[test]
fn a_missing_file_a_text_and_a_strange_database_are_refused() {
    let world = World::new();
    let missing = Registry::open(&world.path("missing")).unwrap_err();
    assert!(matches!(missing, OpenError::Missing(_)));
    let text = world.path("text");
    fs::write(
        &text,
        "no database at all, but long enough to look at".repeat(9),
    )
    .unwrap();
    assert!(matches!(Registry::open(&text), Err(OpenError::Open { .. })));
    let strange = world.path("strange");
    let connection = Connection::open(&strange).unwrap();
    connection
        .execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1")
        .unwrap();
    assert!(matches!(
        Registry::open(&strange),
        Err(OpenError::Schema { .. })
    ));
    let made = Registry::create(&strange, &roster(), settings(), RegistryId([8; 16]), NOW);
    assert!(matches!(made, Err(OpenError::Exists(_))));
}

#[test]
fn a_registry_of_a_newer_program_is_not_touched() {
    let world = World::new();
    let path = world.path("newer");
    fs::copy(world.registry.path(), &path).unwrap();
    world.registry.back_up(&world.path("copy")).unwrap();
    let connection = Connection::open(world.path("copy")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = Registry::open(&world.path("copy")).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Schema {
            found: 99,
            known: 2,
            ..
        }
    ));
}

#[test]
fn a_roster_that_is_not_the_pinned_one_closes_the_registry() {
    let world = World::new();
    let connection = Connection::open(world.registry.path()).unwrap();
    connection
        .execute(
            "UPDATE registry SET roster = replace(roster, 'alice', 'mallory')",
            [],
        )
        .unwrap();
    let error = Registry::open(world.registry.path()).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Fault(Fault::Damaged(why)) if why == "its roster is not the pinned one"
    ));
}
