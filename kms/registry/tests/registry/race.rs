//! Two who want the same key at the same time.

use std::sync::Barrier;

use obol_kms_registry::{ChangeError, State};

use crate::world::{ALICE, BOB, CAROL, PROPAGATION, World, later};

#[test]
fn of_two_connections_that_race_for_one_change_exactly_one_wins() {
    let world = World::new();
    let now = later(PROPAGATION);
    let other = world.again();
    for seed in 1..=20 {
        let key = world.key_in(State::Published, seed);
        let change = world.change(key.spki, State::Active);
        let by = |officers| {
            world
                .approvals(key.spki, State::Active, now, officers)
                .unwrap()
        };
        let (first, second) = (by(&[ALICE, BOB]), by(&[BOB, CAROL]));
        let start = Barrier::new(2);
        let run = |registry: &obol_kms_registry::Registry, approvals| {
            start.wait();
            registry.transition(&change, approvals, now)
        };
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| run(&world.registry, &first));
            let two = scope.spawn(|| run(&other, &second));
            (one.join().unwrap(), two.join().unwrap())
        });
        let lost = match (one, two) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            both => panic!("{both:?}"),
        };
        assert!(matches!(
            lost,
            ChangeError::Overtaken {
                found: State::Active,
                found_version: 3,
                ..
            }
        ));
        assert_eq!(world.registry.history(key.spki).unwrap().len(), 3);
    }
    world.registry.examine().unwrap();
}

#[test]
fn what_an_officers_command_suspends_a_running_daemon_no_longer_signs_with() {
    let world = World::new();
    let daemon = world.again();
    let key = world.key_in(State::Active, 1);
    let payload = obol_kms_registry::PayloadType::LogCheckpoint;
    let now = later(PROPAGATION);
    assert!(daemon.signable(key.spki, payload, now).is_ok());
    world.go(key.spki, State::Suspended, now).unwrap();
    assert!(daemon.signable(key.spki, payload, now).is_err());
}
