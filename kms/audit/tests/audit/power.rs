//! Power cuts at every point, in a file system that loses what was not synced.

use std::io::ErrorKind::StorageFull;
use std::sync::Arc;

use obol_fault_vfs::{FaultFs, Loss};
use obol_kms_audit::{AuditError, AuditLog, OpenError, Trusted, VerifyError};
use obol_log::{Checkpoint, Note};

use crate::setting::{Faulty, ORIGIN, cosigned, entry, head, key, verify_in, witness};

/// What the log has told others: it must hold after any cut.
#[derive(Clone, Default)]
struct Told {
    entries: u64,
    checkpoint: Option<(u64, Note)>,
    cosigned: Option<u64>,
}

#[derive(Clone, Copy)]
enum Step {
    Append(u64),
    Checkpoint,
    Cosign,
    Reopen,
}

/// Crosses two ends of bundles, once in the first process and once right before a restart; restarts
/// with a full, an empty and a half-filled bundle.
const STEPS: [Step; 22] = [
    Step::Append(3),
    Step::Append(1),
    Step::Checkpoint,
    Step::Cosign,
    Step::Append(2),
    Step::Reopen,
    Step::Append(1),
    Step::Append(249),
    Step::Append(2),
    Step::Checkpoint,
    Step::Reopen,
    Step::Append(1),
    Step::Checkpoint,
    Step::Cosign,
    Step::Append(253),
    Step::Reopen,
    Step::Append(1),
    Step::Append(1),
    Step::Checkpoint,
    Step::Append(1),
    Step::Reopen,
    Step::Append(1),
];

fn open(fs: &FaultFs, trusted: &Trusted) -> Option<AuditLog> {
    AuditLog::open_in(Arc::new(Faulty(fs.clone())), ORIGIN, key(), trusted).ok()
}

/// Whether a run goes on.
#[derive(PartialEq, Eq)]
enum Look {
    On,
    Enough,
}

/// Runs the steps until one fails; `look` sees what was told after each.
fn run(
    fs: &FaultFs,
    told: &mut Told,
    steps: &[Step],
    mut look: impl FnMut(&Told) -> Look,
) -> Option<()> {
    let mut log = open(fs, &Trusted::default())?;
    if look(told) == Look::Enough {
        return Some(());
    }
    for step in steps {
        match step {
            Step::Append(count) => {
                let from = told.entries;
                let entries: Vec<_> = (from..from + count).map(entry).collect();
                let entries: Vec<_> = entries.iter().map(|entry| &entry[..]).collect();
                told.entries = log.append_all(&entries).ok()?.end;
            }
            Step::Checkpoint => told.checkpoint = Some((told.entries, log.checkpoint().ok()?)),
            Step::Cosign => {
                let (size, note) = told.checkpoint.clone()?;
                log.add_cosignature(witness().public(), &cosigned(&note))
                    .ok()?;
                told.cosigned = Some(size);
            }
            Step::Reopen => {
                drop(log);
                log = open(fs, &Trusted::default())?;
            }
        }
        if look(told) == Look::Enough {
            break;
        }
    }
    Some(())
}

/// Whether everything that was told holds on a disk after a cut.
fn holds(fs: &FaultFs, told: &Told) -> Result<(), String> {
    let note = told.checkpoint.as_ref().map(|(_, note)| note);
    match verify_in(&Faulty(fs.clone()), note) {
        Ok(report) => {
            let published = told.checkpoint.as_ref().map(|(size, _)| *size);
            if report.entries < told.entries || report.checkpoint < published {
                return Err(format!("{report:?}"));
            }
            // The checkpoint handed in counts as witnessed, so the folder's own is looked at itself.
            if told.cosigned > cosigned_in(fs) {
                return Err("the cosignature is gone".to_owned());
            }
        }
        Err(VerifyError::NoLog) if told.entries == 0 => {}
        Err(error) => return Err(error.to_string()),
    }
    let kept = Some(head(told.entries));
    let trusted = Trusted {
        kept,
        ..Trusted::default()
    };
    let log = AuditLog::open_in(Arc::new(Faulty(fs.clone())), ORIGIN, key(), &trusted);
    let log = log.map_err(|error| error.to_string())?;
    log.append(b"after the cut")
        .map_err(|error| error.to_string())?;
    log.checkpoint().map_err(|error| error.to_string())?;
    verify_in(&Faulty(fs.clone()), note).map_err(|error| error.to_string())?;
    Ok(())
}

fn cosigned_in(fs: &FaultFs) -> Option<u64> {
    let bytes = fs.read("witnessed").unwrap()?;
    let note = Note::parse(&bytes).unwrap();
    Some(Checkpoint::parse(note.text()).unwrap().size)
}

fn losses(seeds: u64) -> impl Iterator<Item = Loss> {
    let seeds = (0..seeds).map(|seed| Loss::Some { seed });
    let whole = [Loss::Everything, Loss::Bytes, Loss::Names, Loss::FirstNames];
    whole.into_iter().chain(seeds)
}

/// The first loss that a cut shows after any step, once `from` syncs were made, or at a moment within
/// one.
fn first_loss(fs: &FaultFs, told: &mut Told, steps: &[Step], from: usize) -> Option<String> {
    let mut found = None;
    let mut before = told.clone();
    let ran = run(fs, told, steps, |told| {
        let within = fs.moments().into_iter().map(|moment| (moment, &before));
        if fs.syncs().len() >= from {
            let after = [(fs.clone(), told)];
            found = after.into_iter().chain(within).find_map(|(moment, told)| {
                losses(2).find_map(|loss| holds(&moment.cut(loss), told).err())
            });
        }
        before = told.clone();
        if found.is_some() {
            Look::Enough
        } else {
            Look::On
        }
    });
    found.or_else(|| {
        ran.is_none()
            .then(|| "the log did not open again".to_owned())
    })
}

/// The syncs that can be left out of a run without anybody noticing.
fn unnoticed(fs: impl Fn() -> (FaultFs, Told), steps: &[Step]) -> Vec<String> {
    let (whole, mut told) = fs();
    let before = whole.syncs().len();
    assert_eq!(first_loss(&whole, &mut told, steps, 0), None);
    let syncs = whole.syncs();
    (before..syncs.len())
        .filter(|sync| {
            let (fs, mut told) = fs();
            fs.ignore_sync(sync - before);
            first_loss(&fs, &mut told, steps, *sync).is_none()
        })
        .map(|sync| format!("{sync} of {}: {}", syncs.len(), syncs[sync]))
        .collect()
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_after_any_step() {
    let loss = first_loss(&FaultFs::default(), &mut Told::default(), &STEPS, 0);
    assert_eq!(loss, None);
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_within_any_step() {
    let whole = FaultFs::default();
    run(&whole, &mut Told::default(), &STEPS, |_| Look::On).unwrap();
    for operation in 0..whole.operations() {
        let fs = FaultFs::default();
        fs.fail_power_at(operation);
        let mut told = Told::default();
        assert_eq!(run(&fs, &mut told, &STEPS, |_| Look::On), None);
        for loss in losses(3) {
            let held = holds(&fs.cut(loss), &told);
            assert_eq!(held, Ok(()), "operation {operation}, {loss:?}");
        }
    }
}

#[test]
fn leaving_out_any_one_sync_loses_something_that_was_told() {
    let fresh = || (FaultFs::default(), Told::default());
    assert_eq!(unnoticed(fresh, &STEPS), [""; 0]);
}

/// A process that dies leaves folders and files whose names are not durable; the next one must not
/// take them for durable because they are there.
#[test]
fn leaving_out_a_sync_after_a_kill_loses_something_as_well() {
    let steps = [Step::Append(4), Step::Checkpoint, Step::Append(1)];
    let whole = FaultFs::default();
    run(&whole, &mut Told::default(), &steps, |_| Look::On).unwrap();
    for operation in 0..whole.operations() {
        let killed = || {
            let fs = FaultFs::default();
            fs.fail_power_at(operation);
            let mut told = Told::default();
            run(&fs, &mut told, &steps, |_| Look::On);
            fs.revive();
            // What an unfinished append left in the log counts, so that the next indexes follow.
            told.entries = open(&fs, &Trusted::default()).unwrap().size();
            (fs, told)
        };
        let unnoticed = unnoticed(killed, &steps);
        assert_eq!(unnoticed, [""; 0], "killed at {operation}");
    }
}

#[test]
fn after_a_failed_sync_nothing_is_appended_until_the_log_is_opened_anew() {
    let fs = FaultFs::default();
    let log = open(&fs, &Trusted::default()).unwrap();
    log.append(&entry(0)).unwrap();
    fs.fail_sync(0);
    for _ in 0..3 {
        let refused = log.append(&entry(1));
        assert!(
            matches!(&refused, Err(AuditError::Stopped(why)) if why.contains("the medium failed")),
            "{refused:?}"
        );
    }
    assert!(matches!(log.checkpoint(), Err(AuditError::Stopped(_))));
    drop(log);

    // The running system still shows what the failed sync lost: it is there now, or it is gone, and
    // in either case stays so through the next cut.
    let log = open(&fs, &Trusted::default()).unwrap();
    let size = log.size();
    assert_eq!(log.append(&entry(size)).unwrap().index, size);
    let kept = Some(head(size + 1));
    let trusted = Trusted {
        kept,
        ..Trusted::default()
    };
    assert!(open(&fs.cut(Loss::Everything), &trusted).is_some());
}

/// Appends and signs whatever the disk does; after each failure the log is reopened as it stands.
fn go_on(log: &AuditLog, told: &mut Told) -> u64 {
    let mut stops = 0;
    for _ in 0..270 {
        let size = log.size();
        match log.append(&entry(size)) {
            Ok(appended) => told.entries = appended.index + 1,
            Err(AuditError::Stopped(_)) => {
                stops += 1;
                log.reopen().unwrap();
                continue;
            }
            Err(other) => panic!("{other}"),
        }
        if told.entries.is_multiple_of(90) {
            match log.checkpoint() {
                Ok(note) => told.checkpoint = Some((told.entries, note)),
                Err(_) => {
                    stops += 1;
                    log.reopen().unwrap();
                }
            }
        }
    }
    stops
}

#[test]
fn a_log_that_stopped_and_is_reopened_goes_on_and_has_lost_nothing() {
    let whole = FaultFs::default();
    let log = open(&whole, &Trusted::default()).unwrap();
    let before = whole.syncs().len();
    assert_eq!(go_on(&log, &mut Told::default()), 0);
    let syncs = whole.syncs().len() - before;
    // Around each end: of the run, of a checkpoint, of a bundle.
    let (first, last) = (0..6, syncs - 24..syncs);
    for sync in first.chain(85..105).chain(last) {
        let fs = FaultFs::default();
        let log = open(&fs, &Trusted::default()).unwrap();
        fs.fail_sync(sync);
        let mut told = Told::default();
        assert_eq!(go_on(&log, &mut told), 1, "sync {sync}");
        assert!(told.entries >= 269, "sync {sync}: {} entries", told.entries);
        assert_eq!(log.stopped(), None);
        drop(log);
        for loss in losses(2) {
            assert_eq!(holds(&fs.cut(loss), &told), Ok(()), "sync {sync}, {loss:?}");
        }
    }
}

#[test]
fn a_log_on_a_full_disk_goes_on_when_there_is_room_again() {
    let fs = FaultFs::default();
    let log = open(&fs, &Trusted::default()).unwrap();
    let mut told = Told::default();
    for _ in 0..250 {
        told.entries = log.append(&entry(told.entries)).unwrap().index + 1;
    }
    // Full within the bundle, and again where its tiles shall be written.
    for room in [10_000, 30_000] {
        fs.set_capacity(Some(fs.size() + room));
        let refused = loop {
            match log.append(&entry(log.size())) {
                Ok(appended) => told.entries = appended.index + 1,
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, AuditError::Stopped(_)), "{refused:?}");
        let still = log.reopen().unwrap_err();
        assert!(
            matches!(&still, OpenError::Io(error) if error.kind() == StorageFull),
            "{still:?}"
        );
        assert!(matches!(log.append(b"no"), Err(AuditError::Stopped(_))));
        fs.set_capacity(None);
        log.reopen().unwrap();
        told.entries = log.append(&entry(log.size())).unwrap().index + 1;
        assert_eq!(holds(&fs.cut(Loss::Everything), &told), Ok(()));
    }
}
