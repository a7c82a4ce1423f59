//! Backups and restored registries on a disk whose power is cut.

use obol_fault_vfs::FaultFs;
use obol_kms_registry::{Registry, RegistryId, State};

use crate::setting::{
    Faulty, LATER, Look, Step, Told, first_key, losses, open, open_examined, run, running, text,
    use_disk,
};

const STEPS: [Step; 4] = [
    Step::Register(1),
    Step::Publish(1),
    Step::Go(1, State::Active),
    Step::Count,
];
const NEW_LIFE: RegistryId = RegistryId([9; 16]);

/// A disk with a registry in use.
fn begin() -> FaultFs {
    let fs = FaultFs::default();
    run(&fs, &mut Told::default(), &STEPS, |_| Look::On).unwrap();
    fs.copy()
}

fn back_up(fs: &FaultFs) -> Result<(), String> {
    let registry = open(fs)?;
    let made = registry.back_up_in(&Faulty(fs.clone()), &running("backup"));
    made.map_err(text)
}

fn restore(fs: &FaultFs) -> Result<(), String> {
    use_disk(fs);
    let files = Faulty(fs.clone());
    let (from, to) = (running("backup"), running("restored"));
    let restored = Registry::restore_in(&files, &from, &to, NEW_LIFE, LATER);
    restored.map_err(text).map(drop)
}

/// The file is whole, or nobody was told of it and it is not there.
fn is_whole(fs: &FaultFs, name: &str, told: &Result<(), String>) -> Result<(), String> {
    if told.is_err() && fs.open(name).is_none() {
        return Ok(());
    }
    let registry = open_examined(fs, name)?;
    registry.examine().map_err(text)?;
    match registry.key(first_key()).map_err(text)? {
        Some(key) if key.reserved >= 1 => Ok(()),
        other => Err(format!("{name} has {other:?}")),
    }
}

/// One way to make a file: on which disk, how, and its name.
struct Copying {
    disk: FaultFs,
    make: fn(&FaultFs) -> Result<(), String>,
    name: &'static str,
}

fn ways() -> [Copying; 2] {
    let disk = begin();
    let with_backup = disk.copy();
    back_up(&with_backup).unwrap();
    let backup = Copying {
        disk,
        make: back_up,
        name: "backup",
    };
    let restored = Copying {
        disk: with_backup.copy(),
        make: restore,
        name: "restored",
    };
    [backup, restored]
}

#[test]
fn a_backup_and_a_restored_registry_are_whole_or_not_there_after_a_cut_at_any_moment() {
    for way in ways() {
        let whole = way.disk.copy();
        (way.make)(&whole).unwrap();
        for operation in 0..=whole.operations() {
            let fs = way.disk.copy();
            fs.fail_power_at(operation);
            let told = (way.make)(&fs);
            for loss in losses(2) {
                let held = is_whole(&fs.cut(loss), way.name, &told);
                assert_eq!(held, Ok(()), "operation {operation}, {loss:?}, {told:?}");
            }
        }
    }
}

#[test]
fn leaving_out_any_one_sync_of_a_backup_or_a_restore_is_noticed() {
    for way in ways() {
        let whole = way.disk.copy();
        (way.make)(&whole).unwrap();
        let syncs = whole.syncs();
        // What opening the registry syncs is another test's matter.
        let unnoticed: Vec<_> = (0..syncs.len())
            .filter(|sync| syncs[*sync] != "keys.registry")
            .filter(|sync| {
                let fs = way.disk.copy();
                fs.ignore_sync(*sync);
                let told = (way.make)(&fs);
                let untold = Err("not yet".to_owned());
                let within = fs.moments().into_iter().map(|moment| (moment, &untold));
                let mut states = within.chain([(fs.clone(), &told)]);
                !states.any(|(moment, told)| {
                    losses(4).any(|loss| is_whole(&moment.cut(loss), way.name, told).is_err())
                })
            })
            .collect();
        assert_eq!(unnoticed, [0_usize; 0], "of {syncs:?}");
    }
}
