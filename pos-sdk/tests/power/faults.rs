//! Disks that fail while the power stays: a sync, a full disk, a bit.

use obol_fault_vfs::Loss;
use obol_pos_sdk::JournalError;

use crate::setting::{BEFORE, Setting, Step, Told, die};

const RIDES: usize = 12;

/// Takes rides whatever the disk does, as a terminal does; returns what was refused.
fn ride_on(setting: &Setting, fs: &obol_fault_vfs::FaultFs, told: &mut Told) -> Vec<JournalError> {
    let mut journal = setting.running.open(fs).unwrap();
    let mut refused = Vec::new();
    for ride in 0..RIDES {
        let steps = match ride % 5 {
            4 => [Step::Refusal, Step::Clock],
            _ => [Step::Ride, Step::Opened],
        };
        for step in steps {
            refused.extend(setting.step(&mut journal, step, told).err());
        }
    }
    die(fs, journal);
    refused
}

#[test]
fn a_sync_that_fails_refuses_that_ride_and_loses_none_that_was_granted_after_it() {
    let setting = Setting::new();
    let (whole, mut told) = setting.begin();
    assert!(ride_on(&setting, &whole, &mut told).is_empty());
    for sync in 0..whole.syncs().len() {
        let (fs, mut told) = setting.begin();
        let Ok(journal) = setting.running.open(&fs) else {
            panic!("a whole disk");
        };
        drop(journal);
        fs.fail_sync(sync);
        let refused = ride_on(&setting, &fs, &mut told);
        assert!(refused.len() <= 2, "sync {sync}: {refused:?}");
        let rides = told.heads.len();
        assert!(
            rides >= BEFORE as usize + 7,
            "sync {sync}: {rides} {refused:?}"
        );
        for loss in [Loss::Everything, Loss::Some { seed: 1 }] {
            let held = setting.holds(&fs.cut(loss), &told);
            assert_eq!(held, Ok(()), "sync {sync}, {loss:?}, {refused:?}");
        }
    }
}

#[test]
fn a_full_disk_refuses_rides_until_there_is_room_and_loses_none() {
    let setting = Setting::new();
    let (fs, mut told) = setting.begin();
    let mut journal = setting.running.open(&fs).unwrap();
    setting.step(&mut journal, Step::Ride, &mut told).unwrap();
    fs.set_capacity(Some(fs.size() + 10_000));
    let mut refused = Vec::new();
    for _ in 0..20 {
        refused.extend(setting.step(&mut journal, Step::Ride, &mut told).err());
    }
    assert!(refused.len() > 2, "{refused:?}");
    for full in refused {
        assert!(matches!(full, JournalError::Storage { .. }), "{full:?}");
    }
    assert_eq!(setting.holds(&fs.cut(Loss::Everything), &told), Ok(()));
    fs.set_capacity(None);
    for _ in 0..3 {
        setting.step(&mut journal, Step::Ride, &mut told).unwrap();
    }
    assert_eq!(setting.holds(&fs.cut(Loss::Everything), &told), Ok(()));
}
