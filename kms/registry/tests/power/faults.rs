//! Disks that fail while the power stays: a sync, a full disk.

use obol_fault_vfs::{FaultFs, Loss};
use obol_kms_registry::State::{Active, Suspended};

use crate::setting::{Step, Told, create, die, holds, losses, open, step};

const ROUNDS: usize = 4;

/// Uses a key whatever the disk does, suspends it and lets it return; returns what was refused.
fn go_on(fs: &FaultFs, told: &mut Told) -> Vec<String> {
    let registry = open(fs).unwrap();
    let mut refused = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..4 {
            refused.extend(step(&registry, Step::Count, told).err());
        }
        for to in [Suspended, Active] {
            refused.extend(step(&registry, Step::Go(1, to), told).err());
        }
    }
    die(fs, registry);
    refused
}

fn begin() -> (FaultFs, Told) {
    let (fs, mut told) = (FaultFs::default(), Told::default());
    let registry = create(&fs).unwrap();
    told.made = true;
    for first in [Step::Register(1), Step::Publish(1), Step::Go(1, Active)] {
        step(&registry, first, &mut told).unwrap();
    }
    drop(registry);
    (fs, told)
}

#[test]
fn a_sync_that_fails_refuses_its_step_and_loses_nothing_that_was_told_after_it() {
    let (whole, mut told) = begin();
    let before = whole.syncs().len();
    assert_eq!(go_on(&whole, &mut told), [""; 0]);
    for sync in 0..whole.syncs().len() - before {
        let (fs, mut told) = begin();
        let registry = open(&fs).unwrap();
        fs.fail_sync(sync);
        drop(registry);
        let refused = go_on(&fs, &mut told);
        // A key whose way back failed is not used in the next round, nor suspended.
        assert!(refused.len() <= 6, "sync {sync}: {refused:?}");
        assert!(told.numbers.len() >= 4 * (ROUNDS - 2), "sync {sync}");
        for loss in losses(2) {
            let held = holds(&fs.cut(loss), &told);
            assert_eq!(held, Ok(()), "sync {sync}, {loss:?}, {refused:?}");
        }
    }
}

#[test]
fn a_full_disk_refuses_uses_until_there_is_room_and_loses_nothing() {
    let (fs, mut told) = begin();
    let registry = open(&fs).unwrap();
    step(&registry, Step::Count, &mut told).unwrap();
    fs.set_capacity(Some(fs.size() + 10_000));
    let mut refused = Vec::new();
    for _ in 0..20 {
        refused.extend(step(&registry, Step::Count, &mut told).err());
    }
    assert!(refused.len() > 2, "{refused:?}");
    for full in refused {
        assert!(full.contains("database or disk is full"), "{full}");
    }
    assert_eq!(holds(&fs.cut(Loss::Everything), &told), Ok(()));
    fs.set_capacity(None);
    for next in [Step::Count, Step::Count, Step::Go(1, Suspended)] {
        step(&registry, next, &mut told).unwrap();
    }
    assert_eq!(holds(&fs.cut(Loss::Everything), &told), Ok(()));
}

#[test]
fn a_registry_whose_name_may_not_be_on_the_disk_is_not_made() {
    let fs = FaultFs::default();
    fs.fail_sync(0);
    let refused = create(&fs).unwrap_err();
    let expected = "/running/keys.registry cannot be opened as a registry: the medium failed";
    assert_eq!(refused, expected);
    assert_eq!(fs.syncs(), ["/"]);
}
