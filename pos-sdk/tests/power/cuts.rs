//! Power cuts after and within every step of a journal's life, and syncs that are left out.

use obol_fault_vfs::{FaultFs, Loss};

use crate::setting::{Setting, Step, Told};

use Step::{Acknowledge, Clock, Kill, Opened, Refusal, Reopen, Ride};

/// From the 61st ride on: over a checkpoint and a tidying at the 64th, a restart, a tidying at the
/// 72nd right before a kill, and another restart. Each WAL begins with a clock that is set again
/// later: a WAL that comes back to its beginning shows.
const STEPS: [Step; 38] = [
    Clock,
    Ride,
    Opened,
    Ride,
    Refusal,
    Clock,
    Ride,
    Opened,
    Ride,
    Opened,
    Ride,
    Acknowledge,
    Reopen,
    Clock,
    Ride,
    Opened,
    Ride,
    Refusal,
    Ride,
    Opened,
    Ride,
    Acknowledge,
    Ride,
    Clock,
    Ride,
    Opened,
    Kill,
    Ride,
    Opened,
    Ride,
    Acknowledge,
    Clock,
    Refusal,
    Reopen,
    Ride,
    Opened,
    Ride,
    Opened,
];

/// Everything, names or bytes; pieces of writes; and writes in another order, which shows most.
fn losses(seeds: u64) -> impl Iterator<Item = Loss> {
    let whole = [Loss::Everything, Loss::Bytes, Loss::Names, Loss::FirstNames];
    let torn = (0..seeds).map(|seed| Loss::Some { seed });
    let reordered = (0..seeds * 5).map(|seed| Loss::Whole { seed });
    whole.into_iter().chain(torn).chain(reordered)
}

/// The first loss that a cut shows after any step, once `from` syncs were made, or at a moment
/// within one.
fn first_loss(setting: &Setting, fs: &FaultFs, told: &mut Told, from: usize) -> Option<String> {
    let mut found = None;
    let mut before = told.clone();
    let ran = setting.run(fs, told, &STEPS, |told| {
        let within = fs.moments().into_iter().map(|moment| (moment, &before));
        if fs.syncs().len() >= from {
            let after = [(fs.clone(), told)];
            found = after.into_iter().chain(within).find_map(|(moment, told)| {
                losses(2).find_map(|loss| setting.holds(&moment.cut(loss), told).err())
            });
        }
        before = told.clone();
        found.is_some()
    });
    found.or_else(|| ran.err().map(|error| error.to_string()))
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_after_any_step() {
    let setting = Setting::new();
    let (fs, mut told) = setting.begin();
    assert_eq!(first_loss(&setting, &fs, &mut told, 0), None);
    let kept = fs.syncs();
    assert!(
        kept.iter().any(|name| name == "journal"),
        "no checkpoint: {kept:?}"
    );
}

#[test]
fn nothing_that_was_told_is_lost_by_a_cut_within_any_step() {
    let setting = Setting::new();
    let (whole, mut told) = setting.begin();
    setting.run(&whole, &mut told, &STEPS, |_| false).unwrap();
    for operation in 0..whole.operations() {
        let (fs, mut told) = setting.begin();
        fs.fail_power_at(operation);
        let ran = setting.run(&fs, &mut told, &STEPS, |_| false);
        for loss in losses(1) {
            let held = setting.holds(&fs.cut(loss), &told);
            assert_eq!(held, Ok(()), "operation {operation}, {loss:?}, {ran:?}");
        }
    }
}

#[test]
fn leaving_out_any_one_sync_is_noticed() {
    let setting = Setting::new();
    let (whole, mut told) = setting.begin();
    assert_eq!(first_loss(&setting, &whole, &mut told, usize::MAX), None);
    let syncs = whole.syncs();
    let unnoticed: Vec<_> = (0..syncs.len())
        .filter(|sync| {
            let (fs, mut told) = setting.begin();
            fs.ignore_sync(*sync);
            first_loss(&setting, &fs, &mut told, *sync).is_none()
        })
        .collect();
    // SQLite syncs the head of a WAL before its first frames, and the frames again; in a file that
    // is new nothing lies behind the head that could be taken for frames. Its name is synced next.
    let first_of_new = |sync: &usize| syncs.get(sync + 1).is_some_and(|next| next == "/");
    let spare: Vec<_> = (0..syncs.len()).filter(first_of_new).collect();
    assert_eq!(unnoticed, spare, "of {syncs:?}");
}
