//! A witness on the command line: one file is its memory.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use obol_console::{
    FileError, Mode, Outcome, read_limited, replace_atomically, unix_now, write_new_atomically,
};
use obol_kms_audit::{Disk, LogReader};
use obol_log::witness::{Submission, judge};
use obol_log::{Checkpoint, LogKey, NOTE_MAX, WitnessSigner};
use serde::Serialize;
use zeroize::Zeroizing;

use super::arguments::{NewWitnessKey, Submission as SubmissionArguments, Witness};
use super::read_note;
use super::shown::ShownKey;
use crate::failure::Failure;
use crate::failure::audit::{NotASubmission, NotAWitnessKey, OpenKeyFile, StateNotOurs};
use crate::output::must_be_free;
use crate::output::print_json;

/// Longest file of a witness's key, bytes.
const KEY_FILE_MAX: u64 = 1024;
/// A checkpoint behind at most 63 hashes.
const SUBMISSION_MAX: usize = NOTE_MAX + 64 * 64;

#[derive(Serialize)]
struct Shown {
    log: String,
    size: u64,
    root: String,
    witness: String,
    at: u32,
    before: Option<u64>,
    checkpoint: String,
}

pub(super) fn witness(arguments: &Witness) -> Result<Outcome, Failure> {
    let signer = read_key(&arguments.witness_key)?;
    let _only_one = lock(&arguments.state)?;
    let seen = state(&arguments.state, &signer)?;
    let submission = submitted(arguments, seen.as_ref())?;
    let origin = arguments.key.name();
    let good = judge(&arguments.key, origin, seen.as_ref(), submission)?;
    let now = unix_now();
    let mut note = good.note().clone();
    note.sign(good.cosign(&signer, u64::from(now)));
    let text = note.to_text();
    // First remembered, then told: a witness that forgets can be shown another history.
    replace_atomically(&arguments.state, text.as_bytes(), Mode::Private)?;
    if let Some(path) = &arguments.out {
        replace_atomically(path, text.as_bytes(), Mode::Public)?;
    }
    let head = good.checkpoint();
    if arguments.json {
        return print_json(&Shown {
            log: head.origin.clone(),
            size: head.size,
            root: head.root.to_string(),
            witness: signer.public().name().to_owned(),
            at: now,
            before: seen.map(|seen| seen.size),
            checkpoint: text,
        });
    }
    match &arguments.out {
        None => print!("{text}"),
        Some(_) => println!("cosigned {} entries of {}", head.size, head.origin),
    }
    Ok(Outcome::Done)
}

/// What was cosigned last. It carries this witness's own line: a state that somebody else wrote is
/// refused, not believed.
fn state(path: &Path, signer: &WitnessSigner) -> Result<Option<Checkpoint>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let note = read_note(path)?;
    let ours = signer.public().verify(&note).is_ok();
    match Checkpoint::parse(note.text()) {
        Ok(seen) if ours => Ok(Some(seen)),
        _ => Err(StateNotOurs(path.to_path_buf()).into()),
    }
}

fn submitted(arguments: &Witness, seen: Option<&Checkpoint>) -> Result<Submission, Failure> {
    let Some(path) = &arguments.from.submission else {
        let folder = arguments.from.log.as_deref().unwrap_or(Path::new("."));
        let disk = Disk::new(folder);
        let keys = std::slice::from_ref(&arguments.key);
        return from_log(&disk, keys, seen.map_or(0, |seen| seen.size));
    };
    let bytes = read_limited(path, SUBMISSION_MAX)?;
    Submission::parse(&bytes).map_err(|source| {
        let path = path.clone();
        NotASubmission { path, source }.into()
    })
}

/// The last checkpoint of a log's folder, with the proof from `old` entries on. A log that is shorter
/// than that has no proof; the witness says what that means.
fn from_log(disk: &Disk, keys: &[LogKey], old: u64) -> Result<Submission, Failure> {
    let reader = LogReader::open(disk, keys)?;
    let proof = if old > reader.head().size {
        Vec::new()
    } else {
        reader.prove_consistency(old)?
    };
    Ok(Submission {
        old_size: old,
        proof,
        note: reader.note().clone(),
    })
}

pub(super) fn submission(arguments: &SubmissionArguments) -> Result<Outcome, Failure> {
    if let Some(path) = &arguments.out {
        must_be_free(path)?;
    }
    let disk = arguments.log.disk()?;
    let submission = from_log(&disk, &arguments.log.keys, arguments.old)?;
    let text = submission.to_text();
    match &arguments.out {
        Some(path) => write_new_atomically(path, text.as_bytes(), Mode::Public)?,
        None => print!("{text}"),
    }
    Ok(Outcome::Done)
}

pub(super) fn new_key(arguments: &NewWitnessKey) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| {
        Failure::with_help(error, "the system's random generator does not answer")
    })?;
    let signer = WitnessSigner::from_seed(&arguments.name, &seed)
        .ok_or_else(|| NotAWitnessKey::Name(arguments.name.clone()))?;
    write_new_atomically(&arguments.out, signer.to_text().as_bytes(), Mode::Private)?;
    let public = signer.public();
    let shown = ShownKey {
        name: public.name().to_owned(),
        key_id: public.key_id().to_string(),
        key: public.to_vkey(),
    };
    shown.print(arguments.json.into())
}

/// The mode is asked of the opened file, so it cannot be swapped in between.
fn read_key(path: &Path) -> Result<WitnessSigner, Failure> {
    let failed = |source| FileError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_path_buf();
        return Err(OpenKeyFile { path, mode }.into());
    }
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_MAX as usize));
    file.take(KEY_FILE_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    WitnessSigner::from_text(&text).map_err(|source| {
        let path = path.to_path_buf();
        NotAWitnessKey::File { path, source }.into()
    })
}

/// One process at a time compares and remembers: two could let the log run back between them.
fn lock(state: &Path) -> Result<File, Failure> {
    let mut path = state.as_os_str().to_owned();
    path.push(".lock");
    let failed = |source| FileError::Write {
        path: path.clone().into(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}
