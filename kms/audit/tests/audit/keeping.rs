//! What an open log keeps and refuses.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::thread;

use obol_kms_audit::{
    AuditError, AuditLog, CheckpointSigner, CosignatureError, Disk, LogReader, OpenError,
    ReadError, SignFailed, Trusted,
};
use obol_log::{
    Checkpoint, LogKey, SignatureRefused, parse_proof, verify_consistency, verify_inclusion,
};

use crate::setting::{Key, ORIGIN, cosigned, entry, fill, head, key, open, verify_disk, witness};

#[test]
fn sixteen_threads_get_each_index_once_and_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()).unwrap());
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                (0..50)
                    .map(|count| {
                        let entry = format!("{thread} {count}");
                        (log.append(entry.as_bytes()).unwrap().index, entry)
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        let mine = thread.join().unwrap();
        assert!(mine.is_sorted_by_key(|(index, _)| *index));
        all.extend(mine);
    }
    let indexes: BTreeSet<_> = all.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (0..800).collect());
    log.checkpoint().unwrap();
    let disk = Disk::new(folder.path());
    let reader = LogReader::open(&disk, &[key().key().clone()]).unwrap();
    for (index, entry) in all {
        assert_eq!(reader.prove(index).unwrap().entry, entry.into_bytes());
    }
    verify_disk(folder.path(), None).unwrap();
}

#[test]
fn checkpoints_go_on_while_bundles_fill_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    let filling = std::sync::atomic::AtomicUsize::new(4);
    thread::scope(|threads| {
        for thread in 0..4 {
            let (log, filling) = (&log, &filling);
            threads.spawn(move || {
                for count in 0..100 {
                    let entries: Vec<_> = (0..20)
                        .map(|item| format!("{thread} {count} {item}").into_bytes())
                        .collect();
                    let entries: Vec<_> = entries.iter().map(Vec::as_slice).collect();
                    log.append_all(&entries).unwrap();
                }
                filling.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            });
        }
        while filling.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            log.checkpoint().unwrap();
        }
    });
    let note = log.checkpoint().unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap().size, 8_000);
    verify_disk(folder.path(), None).unwrap();
}

#[test]
fn entries_in_a_row_stay_in_a_row_across_the_end_of_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 700);
    let note = log.checkpoint().unwrap();
    assert_eq!(Checkpoint::parse(note.text()).unwrap(), head(700));
    assert!(folder.path().join("tile/entries/001").exists());
    assert!(folder.path().join("tile/0/002.p/188").exists());
    assert!(folder.path().join("tile/1/000.p/2").exists());
    assert_eq!(
        verify_disk(folder.path(), Some(&note)).unwrap().entries,
        700
    );
}

#[test]
fn a_tree_of_three_levels_is_kept_and_proved() {
    // In memory where there is such a place: the many syncs are not what this is about.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 66_000);
    let note = log.checkpoint().unwrap();
    drop(log);
    let log = open(folder.path()).unwrap();
    assert_eq!(log.checkpoint().unwrap(), note);
    let root = Checkpoint::parse(note.text()).unwrap().root;
    for index in [0, 255, 256, 65_535, 65_536, 65_999] {
        let proof = log.prove_inclusion(index, 66_000).unwrap();
        let leaf = obol_log::leaf_hash(&entry(index));
        assert_eq!(
            verify_inclusion(&leaf, index, 66_000, &proof, &root),
            Ok(())
        );
    }
    for old in [1, 256, 65_536, 65_900] {
        let proof = log.prove_consistency(old, 66_000).unwrap();
        let old_root = head(old).root;
        assert_eq!(
            verify_consistency(old, 66_000, &old_root, &root, &proof),
            Ok(())
        );
    }
    assert!(folder.path().join("tile/1/000").exists());
    assert!(folder.path().join("tile/2/000.p/1").exists());
    assert_eq!(verify_disk(folder.path(), None).unwrap().entries, 66_000);
}

#[test]
fn a_proof_needs_nothing_but_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 300);
    let note = log.checkpoint().unwrap();
    log.add_cosignature(witness().public(), &cosigned(&note))
        .unwrap();
    let disk = Disk::new(folder.path());
    let reader = LogReader::open(&disk, &[key().key().clone()]).unwrap();
    let proof = reader.prove(7).unwrap();
    let (index, path, note) = parse_proof(proof.to_text().as_bytes()).unwrap();
    assert_eq!(key().key().verify(&note), Ok(()));
    assert_eq!(witness().public().verify(&note).unwrap().at, 1_800_000_000);
    let head = Checkpoint::parse(note.text()).unwrap();
    let leaf = proof.leaf_hash();
    assert_eq!(
        verify_inclusion(&leaf, index, head.size, &path, &head.root),
        Ok(())
    );
    let refused = reader.prove(300).map(|_| ());
    assert!(matches!(
        refused,
        Err(ReadError::OutOfRange {
            asked: 300,
            size: 300
        })
    ));
}

#[test]
fn a_checkpoint_is_still_proved_after_its_partial_tiles_were_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 200);
    log.checkpoint().unwrap();
    fill(&log, 200, 300);
    assert!(!folder.path().join("tile/0/000.p").exists());
    let disk = Disk::new(folder.path());
    let reader = LogReader::open(&disk, &[key().key().clone()]).unwrap();
    assert_eq!(reader.head().size, 200);
    assert_eq!(reader.prove(199).unwrap().entry, entry(199));
    assert_eq!(
        verify_disk(folder.path(), None).unwrap().checkpoint,
        Some(200)
    );
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    assert!(matches!(
        open(folder.path()).map(drop),
        Err(OpenError::InUse)
    ));
    drop(log);
    open(folder.path()).unwrap();
}

#[test]
fn entries_that_no_log_takes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    for bad in [vec![], vec![1; 1025], vec![0; 300]] {
        let refused = log.append(&bad);
        assert!(matches!(refused, Err(AuditError::Entry(len)) if len == bad.len()));
    }
    log.append(&[1; 1024]).unwrap();
    log.append(&[0; 240]).unwrap();
}

#[test]
fn a_log_that_was_set_back_does_not_open_against_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 10);
    drop(log);
    let opened = |kept| {
        let trusted = Trusted {
            kept: Some(kept),
            ..Trusted::default()
        };
        AuditLog::open(folder.path(), ORIGIN, key(), &trusted).map(drop)
    };
    assert!(opened(head(10)).is_ok());
    assert!(matches!(
        opened(head(11)),
        Err(OpenError::RolledBack {
            found: 10,
            size: 11,
            ..
        })
    ));
    let mut other = head(9);
    other.root = obol_log::EMPTY_ROOT;
    assert!(matches!(
        opened(other),
        Err(OpenError::Rewritten { size: 9, .. })
    ));
    let mut foreign = head(9);
    foreign.origin = "other.test/log".to_owned();
    assert!(matches!(opened(foreign), Err(OpenError::Origins { .. })));
}

#[test]
fn a_log_that_lost_entries_its_checkpoint_covers_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 5);
    log.append(&entry(5)).unwrap();
    log.checkpoint().unwrap();
    drop(log);
    let journal = folder.path().join("write-ahead.0");
    let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.set_len(4096).unwrap();
    assert!(matches!(
        open(folder.path()).map(drop),
        Err(OpenError::RolledBack {
            found: 5,
            known: "checkpoint",
            size: 6
        })
    ));
    fs::remove_file(journal).unwrap();
    assert!(matches!(
        open(folder.path()).map(drop),
        Err(OpenError::NoJournal)
    ));
}

#[test]
fn a_changed_write_ahead_file_is_not_mistaken_for_a_torn_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append(&entry(0)).unwrap();
    log.append(&entry(1)).unwrap();
    drop(log);
    let journal = folder.path().join("write-ahead.0");
    let good = fs::read(&journal).unwrap();
    for at in [0, 5, 20, 40, 100, 4095, 4096, 4140, 8191] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&journal, &bad).unwrap();
        let refused = open(folder.path()).map(drop);
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "byte {at}"
        );
    }
    // The second frame's write never ended: cut, and the log goes on.
    fs::write(&journal, &good[..6000]).unwrap();
    let report = verify_disk(folder.path(), None).unwrap();
    assert_eq!((report.entries, report.torn.unwrap().at), (1, 4096));
    let log = open(folder.path()).unwrap();
    assert_eq!(log.append(&entry(1)).unwrap().index, 1);
}

#[test]
fn a_new_key_of_the_log_needs_the_former_one_to_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 3);
    log.checkpoint().unwrap();
    drop(log);
    let new = Key::new(8);
    let opened = |former_keys| {
        let trusted = Trusted {
            former_keys,
            ..Trusted::default()
        };
        AuditLog::open(folder.path(), ORIGIN, new.clone(), &trusted)
    };
    assert!(matches!(
        opened(vec![]).map(drop),
        Err(OpenError::Signature {
            file: "checkpoint",
            source: SignatureRefused::Missing { .. }
        })
    ));
    let log = opened(vec![key().key().clone()]).unwrap();
    log.append(&entry(3)).unwrap();
    let note = log.checkpoint().unwrap();
    assert_eq!(new.key().verify(&note), Ok(()));
}

struct Broken(Arc<Key>);

impl CheckpointSigner for Broken {
    fn key(&self) -> &LogKey {
        self.0.key()
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        if text.contains("\n1\n") {
            Err("C_Sign: CKR_DEVICE_ERROR".into())
        } else {
            Ok([1; 64])
        }
    }
}

#[test]
fn without_a_signature_there_is_no_checkpoint_but_entries_are_still_taken() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Arc::new(Broken(key()));
    let log = AuditLog::open(folder.path(), ORIGIN, signer, &Trusted::default()).unwrap();
    log.append(&entry(0)).unwrap();
    assert!(matches!(log.checkpoint(), Err(AuditError::Sign(_))));
    log.append(&entry(1)).unwrap();
    assert!(matches!(log.checkpoint(), Err(AuditError::WrongSignature)));
    log.append(&entry(2)).unwrap();
    assert_eq!(log.published(), None);
}

#[test]
fn cosignatures_are_kept_and_only_those_of_this_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 3);
    let note = log.checkpoint().unwrap();
    let good = cosigned(&note);
    log.add_cosignature(witness().public(), &good).unwrap();
    assert_eq!(log.witnessed().unwrap(), Some((head(3), good.clone())));
    let missing = log.add_cosignature(witness().public(), &note);
    assert!(matches!(
        missing,
        Err(CosignatureError::Signature(
            SignatureRefused::Missing { .. }
        ))
    ));

    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(elsewhere.path()).unwrap();
    other.append(b"another history").unwrap();
    let foreign = cosigned(&other.checkpoint().unwrap());
    let refused = log.add_cosignature(witness().public(), &foreign);
    assert!(matches!(
        refused,
        Err(CosignatureError::Foreign { size: 1, .. })
    ));
    assert_eq!(verify_disk(folder.path(), None).unwrap().witnessed, Some(3));
}
