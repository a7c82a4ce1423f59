use obol_fault_vfs::{FaultFs, Loss};

use crate::repository::*;
use crate::update::{accepted, update};

/// A repository at its second version, a terminal at the first, and how many operations its update
/// takes.
fn second_publication() -> (Repository, FaultFs, u64) {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    repository.denied.push(5);
    repository.publish();
    let whole = fs.cut(Loss::Everything);
    update(&whole, &repository).unwrap();
    let operations = whole.operations();
    (repository, fs, operations)
}

#[test]
fn wherever_the_power_fails_in_an_update_the_terminal_has_a_whole_set_and_goes_on() {
    let (repository, fs, operations) = second_publication();
    assert!(operations > 20, "{operations}");
    let (mut old, mut new) = (0, 0);
    for at in 0..operations {
        let some = Loss::Some { seed: at };
        for loss in [
            Loss::Everything,
            Loss::Bytes,
            Loss::Names,
            Loss::FirstNames,
            some,
        ] {
            let running = fs.cut(Loss::Everything);
            running.fail_power_at(at);
            let failed = update(&running, &repository).is_err();
            let after = running.cut(loss);
            let set = accepted(&after, &repository).expect("a whole set");
            match set.version {
                1 if failed => old += 1,
                2 => new += 1,
                other => panic!("version {other} after {at}"),
            }
            update(&after, &repository).unwrap();
            assert_eq!(accepted(&after, &repository).unwrap().version, 2);
        }
    }
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[test]
fn what_a_killed_update_had_not_synced_stays_when_the_power_fails_after_the_next() {
    let (repository, fs, operations) = second_publication();
    for at in 0..operations {
        for loss in [Loss::Everything, Loss::Names, Loss::FirstNames] {
            let running = fs.cut(Loss::Everything);
            running.fail_power_at(at);
            update(&running, &repository).unwrap_err();
            running.revive();
            update(&running, &repository).unwrap();
            let after = running.cut(loss);
            let set = accepted(&after, &repository).expect("a whole set");
            assert_eq!(set.version, 2, "killed at {at}");
        }
    }
}

#[test]
fn a_version_that_was_seen_before_the_power_failed_is_not_turned_back_after() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    let before = repository.metadata["timestamp.json"].clone();
    repository.publish();
    update(&fs, &repository).unwrap();
    let after = fs.cut(Loss::Everything);
    repository
        .metadata
        .insert("timestamp.json".to_owned(), before);
    let refused = update(&after, &repository).unwrap_err();
    let causes = format!("{refused:?}");
    assert!(causes.contains("Rollback"), "{causes}");
}
