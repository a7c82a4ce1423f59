//! Many threads wait for one log while its disk fills up and is freed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use obol_fault_vfs::{FaultFs, Loss};
use obol_kms_audit::{AuditError, AuditLog, Trusted};
use obol_log::{Checkpoint, leaf_hash, verify_inclusion};

use crate::setting::{Faulty, ORIGIN, key, verify_in};

/// More than a group waits for, so that some stop while they gather.
const THREADS: usize = 16;
const EACH: usize = 48;
const TIMES_FULL: usize = 8;
/// Room for a few groups.
const ROOM: usize = 3_000;

/// What a thread was told: the place of each of its entries.
type Told = HashMap<u64, Vec<u8>>;

struct Crowd {
    fs: FaultFs,
    log: AuditLog,
    at_work: AtomicUsize,
    refused: AtomicUsize,
}

impl Crowd {
    /// Appends until each entry is durable; one that was refused may be in the log, so it is never
    /// tried again as it was.
    fn append(&self, thread: usize) -> Told {
        let mut told = Told::new();
        let mut tries = 0;
        while told.len() < EACH {
            let _visit = self.log.visit();
            tries += 1;
            let entry = format!("try {tries} of thread {thread}").into_bytes();
            match self.log.append(&entry) {
                Ok(appended) => assert_eq!(told.insert(appended.index, entry), None),
                Err(AuditError::Stopped(_)) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
                Err(other) => panic!("{other}"),
            }
        }
        self.at_work.fetch_sub(1, Ordering::Relaxed);
        told
    }

    fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::Relaxed) > 0
    }

    /// The disk is full again and again; the log is reopened as the daemon does it, also while it
    /// is full. How often it has stopped.
    fn fill_and_free(&self) -> usize {
        let mut stops = 0;
        for _ in 0..TIMES_FULL {
            self.fs.set_capacity(Some(self.fs.size() + ROOM));
            while self.log.stopped().is_none() && self.is_at_work() {
                thread::yield_now();
            }
            stops += usize::from(self.log.stopped().is_some());
            for _ in 0..3 {
                // Full, or somebody still writes: it stays as it is.
                self.log.reopen().ok();
            }
            self.fs.set_capacity(None);
            while self.log.stopped().is_some() {
                self.log.reopen().unwrap();
                thread::yield_now();
            }
        }
        stops
    }
}

#[test]
fn all_who_wait_when_the_disk_is_full_are_told_and_what_they_were_told_is_in_the_log() {
    let fs = FaultFs::default();
    let storage = Arc::new(Faulty(fs.clone()));
    let crowd = Crowd {
        log: AuditLog::open_in(storage, ORIGIN, key(), &Trusted::default()).unwrap(),
        fs,
        at_work: AtomicUsize::new(THREADS),
        refused: AtomicUsize::new(0),
    };
    let (told, stops) = thread::scope(|threads| {
        let crowd = &crowd;
        let spawn = |thread| threads.spawn(move || crowd.append(thread));
        let waiting: Vec<_> = (0..THREADS).map(spawn).collect();
        let stops = crowd.fill_and_free();
        let told = waiting.into_iter().flat_map(|one| one.join().unwrap());
        (told.collect::<Vec<_>>(), stops)
    });
    assert!(stops > 0, "the disk was never full");
    assert!(crowd.refused.load(Ordering::Relaxed) > 0);
    assert_eq!(crowd.log.stopped(), None);

    let note = crowd.log.checkpoint().unwrap();
    let head = Checkpoint::parse(note.text()).unwrap();
    let places: Told = told.iter().cloned().collect();
    assert_eq!(places.len(), THREADS * EACH, "no place was told twice");
    for (index, entry) in &places {
        let proof = crowd.log.prove_inclusion(*index, head.size).unwrap();
        verify_inclusion(&leaf_hash(entry), *index, head.size, &proof, &head.root).unwrap();
    }
    let cut = crowd.fs.cut(Loss::Everything);
    let report = verify_in(&Faulty(cut), Some(&note)).unwrap();
    assert_eq!(report.entries, head.size);
}
