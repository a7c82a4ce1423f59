//! Copies, and what becomes of them.

use std::fs;

use obol_kms_registry::{
    BackupError, ChangeError, PayloadType, Registry, RegistryId, RestoreError, State,
};
use rusqlite::Connection;

use crate::world::{ALICE, BOB, NOW, PROPAGATION, World, later};

const NEW_LIFE: RegistryId = RegistryId([9; 16]);

#[test]
fn a_backup_of_a_registry_in_use_is_one_file_with_everything_in_it() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let signable = world
        .registry
        .signable(key.spki, PayloadType::LogCheckpoint, NOW)
        .unwrap();
    let to = world.path("backup");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..200 {
                world
                    .registry
                    .count(&signable, &format!("c{n}"), NOW)
                    .unwrap();
            }
        });
        world.registry.back_up(&to).unwrap();
        writer.join().unwrap();
    });
    let names: Vec<_> = fs::read_dir(to.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("backup"))
        .collect();
    assert_eq!(names, ["backup"]);
    let again = world.registry.back_up(&to);
    assert!(matches!(again, Err(BackupError::Exists(_))));

    let restored = Registry::restore(&to, &world.path("restored"), NEW_LIFE, NOW).unwrap();
    assert_eq!((restored.keys, restored.suspended), (1, vec![key.spki]));
    let registry = Registry::open(&world.path("restored")).unwrap();
    registry.examine().unwrap();
    assert_eq!(registry.history(key.spki).unwrap().len(), 4);
}

#[test]
fn restored_keys_sign_again_only_with_two_new_approvals() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let now = later(PROPAGATION);
    world.registry.back_up(&world.path("backup")).unwrap();
    // Approvals that the lost registry's officers gave for its next version.
    world.go(key.spki, State::Suspended, now).unwrap();
    let old = world
        .approvals(key.spki, State::Active, now, &[ALICE, BOB])
        .unwrap();

    let path = world.path("restored");
    Registry::restore(&world.path("backup"), &path, NEW_LIFE, now).unwrap();
    let registry = Registry::open(&path).unwrap();
    let found = registry.key(key.spki).unwrap().unwrap();
    assert_eq!((found.state, found.version), (State::Suspended, 4));
    assert!(
        registry
            .signable(key.spki, PayloadType::LogCheckpoint, now)
            .is_err()
    );
    let change = world.change(key.spki, State::Active);
    let error = registry.transition(&change, &old, now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the approval of \"alice\" is for another registry"
    );

    let statement = registry
        .statement(key.spki, State::Active, now.plus(60))
        .unwrap();
    let fresh = [ALICE, BOB].map(|seed| crate::world::approve(seed, &statement));
    registry.transition(&change, &fresh, now).unwrap();
    registry.examine().unwrap();
    assert!(
        registry
            .signable(key.spki, PayloadType::LogCheckpoint, now)
            .is_ok()
    );
}

#[test]
fn a_registry_can_be_restored_from_a_restored_one() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    world.registry.back_up(&world.path("one")).unwrap();
    Registry::restore(&world.path("one"), &world.path("two"), NEW_LIFE, NOW).unwrap();
    let same = Registry::restore(&world.path("two"), &world.path("three"), NEW_LIFE, NOW);
    assert!(matches!(same, Err(RestoreError::SameId(_))));
    assert!(!world.path("three").exists());
    let third = RegistryId([10; 16]);
    let restored = Registry::restore(&world.path("two"), &world.path("three"), third, NOW).unwrap();
    assert_eq!(restored.suspended, []);
    let registry = Registry::open(&world.path("three")).unwrap();
    assert_eq!(registry.id(), third);
    assert_eq!(
        registry.key(key.spki).unwrap().unwrap().state,
        State::Suspended
    );
}

#[test]
fn a_restore_overwrites_nothing() {
    let world = World::new();
    world.registry.back_up(&world.path("backup")).unwrap();
    let target = world.registry.path();
    let error = Registry::restore(&world.path("backup"), target, NEW_LIFE, NOW);
    assert!(matches!(
        error,
        Err(RestoreError::Write(BackupError::Exists(_)))
    ));
    assert_eq!(world.again().id(), RegistryId([7; 16]));
}

/// SQLite would play the log into the restored file: keys would come back active that no officer
/// let return.
#[test]
fn nothing_is_restored_beside_the_log_that_a_killed_daemon_left() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let (backup, to) = (world.path("backup"), world.path("restored"));
    world.registry.back_up(&backup).unwrap();
    for suffix in ["-wal", "-shm", "-journal"] {
        let left = world.path(&format!("restored{suffix}"));
        let of_daemon = world.registry.path().with_file_name(format!(
            "{}-wal",
            world.registry.path().file_name().unwrap().to_str().unwrap()
        ));
        fs::copy(of_daemon, &left).unwrap();
        for refused in [
            Registry::restore(&backup, &to, NEW_LIFE, NOW).map(drop),
            world.registry.back_up(&to).map_err(RestoreError::Write),
        ] {
            assert!(
                matches!(&refused, Err(RestoreError::Write(BackupError::Exists(path))) if *path == left),
                "{refused:?}"
            );
        }
        assert!(!to.exists());
        fs::remove_file(left).unwrap();
    }
    let restored = Registry::restore(&backup, &to, NEW_LIFE, NOW).unwrap();
    assert_eq!(restored.suspended, [key.spki]);
}

#[test]
fn a_backup_with_a_forged_history_is_refused() {
    let forgeries = [
        // A state that no history leads to.
        ("UPDATE key SET state = 'active'", "its state is not where its history leads"),
        // A suspended key made active with nobody's approval.
        (
            "UPDATE key SET state = 'active', version = 5;
             INSERT INTO change SELECT spki, 5, registry, 'suspended', 'active', 'unsuspend', at, 'x'
             FROM change WHERE version = 4",
            "approvals are missing at version 5",
        ),
        // The approvals of one change under another.
        (
            "UPDATE key SET state = 'active', version = 5;
             INSERT INTO change SELECT spki, 5, registry, 'suspended', 'active', 'unsuspend', at, 'x'
             FROM change WHERE version = 4;
             INSERT INTO approval SELECT spki, 5, officer, approval FROM approval WHERE version = 3",
            "the approval of \"alice\" is wrong at version 5",
        ),
        // A change that has been cut out.
        ("DELETE FROM approval; DELETE FROM change WHERE version = 2", "its history breaks at version 2"),
        // Another public key under the same name.
        ("UPDATE key SET spki_der = x'00'", "its public key is another"),
    ];
    for (forgery, expected) in forgeries {
        let world = World::new();
        world.key_in(State::Suspended, 1);
        let backup = world.path("backup");
        world.registry.back_up(&backup).unwrap();
        let connection = Connection::open(&backup).unwrap();
        connection.execute_batch(forgery).unwrap();
        drop(connection);
        let error = Registry::restore(&backup, &world.path("restored"), NEW_LIFE, NOW).unwrap_err();
        let RestoreError::Backup(cause) = error else {
            panic!("{error:?}")
        };
        assert!(cause.to_string().ends_with(expected), "{cause}");
        assert!(!world.path("restored").exists());
    }
}

#[test]
fn a_damaged_page_is_found() {
    let world = World::new();
    for seed in 1..=60 {
        world.key_in(State::Generated, seed);
    }
    let backup = world.path("backup");
    world.registry.back_up(&backup).unwrap();
    let mut bytes = fs::read(&backup).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 64].fill(0xff);
    fs::write(&backup, bytes).unwrap();
    let error = Registry::restore(&backup, &world.path("restored"), NEW_LIFE, NOW);
    assert!(matches!(error, Err(RestoreError::Backup(_))), "{error:?}");
    assert!(!world.path("restored").exists());
}

#[test]
fn the_registry_that_was_backed_up_goes_on_as_before() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    world.registry.back_up(&world.path("backup")).unwrap();
    assert_eq!(world.record(key.spki), key);
    let stale = world.change(key.spki, State::Suspended);
    world
        .go(key.spki, State::Suspended, later(PROPAGATION))
        .unwrap();
    let error = world.registry.transition(&stale, &[], later(PROPAGATION));
    assert!(matches!(error, Err(ChangeError::Overtaken { .. })));
}
