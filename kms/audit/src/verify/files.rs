//! Which files there are, and the tree heads among them.

use std::collections::BTreeSet;

use obol_log::{Checkpoint, LogKey, NOTE_MAX, Note, Tile};

use super::{Finding, Head, VerifyError, Witnesses};
use crate::open::journal_bundle;
use crate::publish::{CHECKPOINT, LOCK, PART, WITNESSED};
use crate::storage::Storage;

/// The files of a log.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) tiles: BTreeSet<Tile>,
    pub(crate) journal: Option<u64>,
    pub(crate) count: u64,
}

/// Walks the folder; a file that no log has is a finding.
pub(crate) fn list(storage: &dyn Storage) -> Result<Files, VerifyError> {
    let mut files = Files::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let names = storage.list(&folder).map_err(|source| VerifyError::Read {
            path: folder.clone(),
            source,
        })?;
        for name in names {
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            match path.strip_suffix('/') {
                Some(inner) => folders.push(inner.to_owned()),
                None => files.add(path)?,
            }
        }
    }
    Ok(files)
}

impl Files {
    fn add(&mut self, path: String) -> Result<(), VerifyError> {
        let ours = [CHECKPOINT, WITNESSED, LOCK].contains(&&*path) || path.ends_with(PART);
        if let Some(bundle) = journal_bundle(&path) {
            self.journal = self.journal.max(Some(bundle));
        } else if let Some(tile) = Tile::parse(&path) {
            self.tiles.insert(tile);
        } else if !ours {
            return Err(Finding::Unexpected { path }.into());
        }
        self.count += 1;
        Ok(())
    }
}

/// The tree heads that the log must continue, each believed for its signatures.
pub(crate) fn heads(
    storage: &dyn Storage,
    origin: &str,
    keys: &[LogKey],
    witnesses: &Witnesses<'_>,
) -> Result<Vec<Head>, VerifyError> {
    let believe = Believe {
        origin,
        keys,
        witnesses,
    };
    let mut heads = Vec::new();
    for file in [CHECKPOINT, WITNESSED] {
        let bytes = storage
            .read(file, NOTE_MAX)
            .map_err(|source| VerifyError::Read {
                path: file.to_owned(),
                source,
            })?;
        let Some(bytes) = bytes else { continue };
        let note = Note::parse(&bytes).map_err(|error| wrong(file, error))?;
        heads.push(believe.head(file, &note)?);
    }
    if let Some(note) = witnesses.kept {
        heads.push(believe.head(KEPT, note)?);
    }
    Ok(heads)
}

const KEPT: &str = "the checkpoint kept elsewhere";

struct Believe<'a> {
    origin: &'a str,
    keys: &'a [LogKey],
    witnesses: &'a Witnesses<'a>,
}

impl Believe<'_> {
    fn head(&self, known: &str, note: &Note) -> Result<Head, VerifyError> {
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(known, error))?;
        if checkpoint.origin != self.origin {
            let why = format!("of {}, not of {}", checkpoint.origin, self.origin);
            return Err(wrong(known, why));
        }
        let signed = self.keys.iter().map(|key| key.verify(note));
        one_of(signed, "no key of the log was given").map_err(|why| wrong(known, why))?;
        let cosigned = self
            .witnesses
            .keys
            .iter()
            .map(|key| key.verify(note).map(|_| ()));
        let cosigned = one_of(cosigned, "no key of a witness was given");
        // With witnesses to believe, a head that is kept as cosigned must be so.
        if known == WITNESSED && !self.witnesses.keys.is_empty() {
            cosigned.clone().map_err(|why| wrong(known, why))?;
        }
        Ok(Head {
            known: known.to_owned(),
            checkpoint,
            witnessed: cosigned.is_ok() || known == KEPT,
        })
    }
}

fn one_of<E: ToString>(
    checks: impl Iterator<Item = Result<(), E>>,
    none: &str,
) -> Result<(), String> {
    let mut why = None;
    for check in checks {
        match check {
            Ok(()) => return Ok(()),
            Err(error) => why = why.or(Some(error.to_string())),
        }
    }
    Err(why.unwrap_or_else(|| none.to_owned()))
}

fn wrong(path: &str, why: impl ToString) -> VerifyError {
    let (path, why) = (path.to_owned(), why.to_string());
    Finding::Checkpoint { path, why }.into()
}
