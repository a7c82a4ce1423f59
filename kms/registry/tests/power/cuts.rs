//! Power cuts after and within every step of a registry's life, and syncs that are left out.

use obol_fault_vfs::FaultFs;
use obol_kms_registry::State::{Active, Compromised, Suspended};

use crate::setting::{Look, Step, Told, holds, losses, run};

use Step::{Alarm, Count, Go, Kill, Publish, Register, Reopen};

/// A key is made, used across ends and beginnings of processes, suspended and let return; another
/// is compromised and asked nevertheless. Between two openings each write-ahead log that is begun
/// anew begins with a larger step than the one before, and with one whose effect later ones change:
/// a log that comes back to its beginning shows.
const STEPS: [Step; 34] = [
    Register(1),
    Publish(1),
    Go(1, Active),
    Register(2),
    Go(2, Compromised),
    Alarm,
    Count,
    Reopen,
    Alarm,
    Count,
    Count,
    Count,
    Count,
    Alarm,
    Step::Look,
    Count,
    Count,
    Alarm,
    Go(1, Suspended),
    Alarm,
    Go(1, Active),
    Count,
    Count,
    Kill,
    Go(1, Suspended),
    Go(1, Active),
    Count,
    Count,
    Count,
    Reopen,
    Alarm,
    Register(3),
    Count,
    Alarm,
];

/// So many steps after a sync was left out, what it should have kept is synced again or lost.
const SOON: usize = 3;

/// The first loss that a cut shows after any step, or at a moment within one.
fn first_loss(fs: &FaultFs, seeds: u64) -> Option<String> {
    first_loss_after(fs, 0, usize::MAX, seeds)
}

/// As [`first_loss`], after the `steps` steps that follow the `from`-th sync.
fn first_loss_after(fs: &FaultFs, from: usize, mut steps: usize, seeds: u64) -> Option<String> {
    let (mut told, mut found) = (Told::default(), None);
    let mut before = told.clone();
    let ran = run(fs, &mut told, &STEPS, |told| {
        let within = fs.moments().into_iter().map(|moment| (moment, &before));
        if fs.syncs().len() >= from {
            steps -= 1;
            let after = [(fs.clone(), told)];
            found = after.into_iter().chain(within).find_map(|(moment, told)| {
                losses(seeds).find_map(|loss| holds(&moment.cut(loss), told).err())
            });
        }
        before = told.clone();
        match (&found, steps) {
            (Some(_), _) | (_, 0) => Look::Enough,
            _ => Look::On,
        }
    });
    found.or_else(|| ran.err())
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_after_any_step() {
    assert_eq!(first_loss(&FaultFs::default(), 2), None);
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_within_any_step() {
    let whole = FaultFs::default();
    run(&whole, &mut Told::default(), &STEPS, |_| Look::On).unwrap();
    for operation in 0..whole.operations() {
        let fs = FaultFs::default();
        fs.fail_power_at(operation);
        let mut told = Told::default();
        let ran = run(&fs, &mut told, &STEPS, |_| Look::On);
        for loss in losses(1) {
            let held = holds(&fs.cut(loss), &told);
            assert_eq!(held, Ok(()), "operation {operation}, {loss:?}, {ran:?}");
        }
    }
}

/// Nobody is told of a registry before it is made whole: of the syncs until then, later ones do
/// again what these did.
const IN_CREATION: [usize; 3] = [0, 1, 7];

#[test]
fn leaving_out_any_one_sync_is_noticed() {
    let whole = FaultFs::default();
    run(&whole, &mut Told::default(), &STEPS, |_| Look::On).unwrap();
    let syncs = whole.syncs();
    let unnoticed: Vec<_> = (0..syncs.len())
        .filter(|sync| {
            let fs = FaultFs::default();
            fs.ignore_sync(*sync);
            first_loss_after(&fs, sync + 1, SOON, 8).is_none()
        })
        .collect();
    // SQLite syncs the head of a write-ahead log before its first frames, and the frames again; in
    // a file that is new nothing lies behind the head that could be taken for frames. Its name is
    // synced next.
    let first_of_new = |sync: &usize| syncs.get(sync + 1).is_some_and(|next| next == "/");
    let is_spare = |sync: &usize| IN_CREATION.contains(sync) || first_of_new(sync);
    let spare: Vec<_> = (0..syncs.len()).filter(is_spare).collect();
    assert_eq!(unnoticed, spare, "of {syncs:?}");
}
