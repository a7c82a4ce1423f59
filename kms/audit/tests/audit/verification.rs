//! What offline verification finds.

use std::fs;
use std::path::{Path, PathBuf};

use obol_kms_audit::{Disk, Finding, VerifyError};
use tempfile::TempDir;

use crate::setting::{cosigned, entry, fill, open, verify_disk, witness};

/// A log of 700 entries, cosigned at 600, with a checkpoint at 690.
fn log() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 600);
    let note = log.checkpoint().unwrap();
    log.add_cosignature(witness().public(), &cosigned(&note))
        .unwrap();
    fill(&log, 600, 690);
    log.checkpoint().unwrap();
    fill(&log, 690, 700);
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn found(folder: &Path) -> Option<Finding> {
    match verify_disk(folder, None) {
        Ok(_) => None,
        Err(VerifyError::Found(finding)) => Some(finding),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_good_log_is_found_good() {
    let folder = log();
    let report = verify_disk(folder.path(), None).unwrap();
    assert_eq!(
        (report.entries, report.checkpoint, report.witnessed),
        (700, Some(690), Some(600))
    );
    assert_eq!(report.torn, None);
    assert_eq!(report.files, files(folder.path()).len() as u64);
}

/// Which file a finding blames.
fn blamed(finding: &Finding) -> &str {
    match finding {
        Finding::Entry { path, .. }
        | Finding::Byte { path, .. }
        | Finding::Length { path, .. }
        | Finding::Journal { path, .. }
        | Finding::Missing { path }
        | Finding::Unexpected { path }
        | Finding::Checkpoint { path, .. } => path,
        Finding::RolledBack { .. } | Finding::Rewritten { .. } => "",
    }
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_that_file_is_blamed() {
    let folder = log();
    for file in files(folder.path()) {
        let name = file.strip_prefix(folder.path()).unwrap();
        let name = name.to_str().unwrap();
        let good = fs::read(&file).unwrap();
        let step = (good.len() / 40).max(1);
        for at in (0..good.len())
            .step_by(step)
            .chain([good.len().saturating_sub(1)])
        {
            let Some(byte) = good.get(at) else { continue };
            let mut bad = good.clone();
            bad[at] = byte ^ (1 << (at % 8));
            fs::write(&file, &bad).unwrap();
            let finding = found(folder.path()).unwrap_or_else(|| panic!("{name}, byte {at}"));
            assert_eq!(blamed(&finding), name, "byte {at}: {finding}");
            if let Finding::Byte { at: found, .. } = finding {
                assert_eq!(found, at, "{name}");
            }
            if let Finding::Entry {
                at: start, index, ..
            } = finding
            {
                // The entry's bytes, or the two of its length before them.
                let end = start + entry(index).len();
                assert!(
                    (start.saturating_sub(2)..end).contains(&at),
                    "{name} {at} {start}"
                );
            }
        }
        fs::write(&file, &good).unwrap();
    }
    assert_eq!(found(folder.path()), None);
}

#[test]
fn a_file_that_is_cut_short_removed_or_added_is_found() {
    let folder = log();
    for file in files(folder.path()) {
        let name = file.strip_prefix(folder.path()).unwrap();
        let name = name.to_str().unwrap();
        let good = fs::read(&file).unwrap();
        // What a crash may leave, and what only a checkpoint kept elsewhere shows to be gone.
        let excused = ["lock", "write-ahead.2", "witnessed", "checkpoint"].contains(&name);
        fs::remove_file(&file).unwrap();
        // Partial tiles of an earlier checkpoint may go.
        if !excused && !name.ends_with(".p/88") {
            let path = name.to_owned();
            assert_eq!(found(folder.path()), Some(Finding::Missing { path }));
        }
        if good.len() > 1 && !excused {
            fs::write(&file, &good[..good.len() - 1]).unwrap();
            assert_eq!(blamed(&found(folder.path()).unwrap()), name);
        }
        fs::write(&file, &good).unwrap();
    }
    fs::write(folder.path().join("tile/0/x"), b"").unwrap();
    let path = "tile/0/x".to_owned();
    assert_eq!(found(folder.path()), Some(Finding::Unexpected { path }));
}

fn copy(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(from) {
        let to = copy.path().join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
    copy
}

#[test]
fn a_log_set_back_to_an_earlier_state_is_found_against_a_kept_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 300);
    log.checkpoint().unwrap();
    let earlier = copy(folder.path());
    fill(&log, 300, 320);
    let kept = cosigned(&log.checkpoint().unwrap());

    // By itself the copy is a good log: nothing in it is wrong, it is only old.
    assert_eq!(verify_disk(earlier.path(), None).unwrap().entries, 300);
    let refused = verify_disk(earlier.path(), Some(&kept)).map(|_| ());
    assert!(
        matches!(
            &refused,
            Err(VerifyError::Found(Finding::RolledBack {
                found: 300,
                size: 320,
                ..
            }))
        ),
        "{refused:?}"
    );
}

#[test]
fn a_log_with_the_last_entries_taken_off_is_found_by_its_own_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    fill(&log, 0, 10);
    log.append(&entry(10)).unwrap();
    log.checkpoint().unwrap();
    drop(log);
    let journal = folder.path().join("write-ahead.0");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 4096]).unwrap();
    assert!(matches!(
        found(folder.path()),
        Some(Finding::RolledBack {
            found: 10,
            size: 11,
            ..
        })
    ));
}

#[test]
fn a_rewritten_log_is_found_against_a_kept_checkpoint() {
    let kept = {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path()).unwrap();
        fill(&log, 0, 300);
        log.checkpoint().unwrap()
    };
    // Whoever holds the log's key can sign another history; not what a witness has seen.
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).unwrap();
    log.append(b"another beginning").unwrap();
    let rest: Vec<_> = (1..310).map(entry).collect();
    let rest: Vec<_> = rest.iter().map(|entry| &entry[..]).collect();
    log.append_all(&rest).unwrap();
    log.checkpoint().unwrap();
    assert_eq!(found(folder.path()), None);
    let refused = verify_disk(folder.path(), Some(&kept)).map(|_| ());
    assert!(matches!(
        refused,
        Err(VerifyError::Found(Finding::Rewritten { size: 300, .. }))
    ));
}

#[test]
fn a_published_copy_without_the_write_ahead_file_is_checked_up_to_its_checkpoint() {
    let folder = log();
    fs::remove_file(folder.path().join("write-ahead.2")).unwrap();
    let report = verify_disk(folder.path(), None).unwrap();
    assert_eq!((report.entries, report.checkpoint), (690, Some(690)));
    fs::remove_file(folder.path().join("tile/0/002.p/178")).unwrap();
    let path = "tile/0/002.p/178".to_owned();
    assert_eq!(found(folder.path()), Some(Finding::Missing { path }));
}

#[test]
fn an_empty_folder_holds_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let refused = obol_kms_audit::verify(
        &Disk::new(folder.path()),
        "kms.test/audit",
        &[],
        &obol_kms_audit::Witnesses::default(),
    );
    assert!(matches!(refused, Err(VerifyError::NoLog)));
}
