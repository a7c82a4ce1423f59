//! What all issuers that stand for publishing share beside the repository: who is suspended, which
//! fare packs were pushed, and a lock for those who change either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, Mode, make_folder, read_limited, replace_atomically};
use obol_credential::{Kid, UnixTime, is_name};
use obol_fare::{FarePack, PACK_MAX, PackId};
use obol_trust::TooManySuspended;
use thiserror::Error;

use super::PublishError;

const SUSPENDED_FILE_MAX: usize = 64 * 1024;
const SUSPENDED_MAX: usize = 64;

/// A folder on a disk that every candidate sees.
#[derive(Clone, Debug)]
pub(crate) struct SharedState {
    folder: PathBuf,
}

/// An issuer key whose credentials terminals refuse. Who blocked it, when and why is there unless a
/// person wrote the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspendedKey {
    /// The key.
    pub kid: Kid,
    /// Who blocked it, when and why.
    pub command: Option<SuspendCommand>,
}

/// Who blocked a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspendCommand {
    /// When.
    pub at: UnixTime,
    /// The client's URI.
    pub by: String,
    /// Why; one line.
    pub reason: String,
}

/// Why a fare pack is not taken. The one before stays.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum PushRefused {
    #[error("the pack holds from {from} to {until}, and now is {now}")]
    NotInForce {
        from: UnixTime,
        until: UnixTime,
        now: UnixTime,
    },
    #[error("the pack begins at {pushed}, and pack {held} is there since {since}")]
    Older {
        pushed: UnixTime,
        held: PackId,
        since: UnixTime,
    },
    #[error("another pack is there: {}", .0.map_or("none".to_owned(), |held| held.to_string()))]
    Changed(Option<PackId>),
    #[error(transparent)]
    Shared(#[from] PublishError),
}

impl From<FileError> for PushRefused {
    fn from(error: FileError) -> Self {
        Self::Shared(error.into())
    }
}

impl SharedState {
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self { folder }
    }

    /// Who is suspended, ascending by kid.
    ///
    /// # Errors
    /// [`PublishError::Suspended`] and what keeps the file from being read.
    pub(crate) fn suspended(&self) -> Result<Vec<SuspendedKey>, PublishError> {
        let path = self.suspended_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = read_limited(&path, SUSPENDED_FILE_MAX)?;
        let wrong = |line: &str| PublishError::Suspended {
            path: path.clone(),
            line: line.to_owned(),
        };
        let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(|line| SuspendedKey::parse(line).ok_or_else(|| wrong(line)));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.kid);
        keys.dedup_by_key(|key| key.kid);
        Ok(keys)
    }

    /// Blocks a key; durable when this returns. One that is blocked already stays as it is.
    ///
    /// # Errors
    /// [`PublishError`]; a list has room for 64.
    pub(crate) fn suspend(
        &self,
        kid: Kid,
        command: SuspendCommand,
    ) -> Result<SuspendedKey, PublishError> {
        let _locked = self.lock()?;
        let mut keys = self.suspended()?;
        if let Some(held) = keys.iter().find(|key| key.kid == kid) {
            return Ok(held.clone());
        }
        if keys.len() == SUSPENDED_MAX {
            return Err(super::InputsRefused::from(TooManySuspended(keys.len() + 1)).into());
        }
        let command = Some(command);
        let key = SuspendedKey { kid, command };
        keys.push(key.clone());
        self.write_suspended(&keys)?;
        Ok(key)
    }

    /// Lifts the block of a key; durable when this returns. Nothing changes for another key.
    ///
    /// # Errors
    /// [`PublishError`].
    pub(crate) fn resume(&self, kid: Kid) -> Result<(), PublishError> {
        let _locked = self.lock()?;
        let mut keys = self.suspended()?;
        let count = keys.len();
        keys.retain(|key| key.kid != kid);
        if keys.len() == count {
            return Ok(());
        }
        self.write_suspended(&keys)
    }

    /// The pushed packs by operator, as bytes: whoever publishes them reads them again.
    ///
    /// # Errors
    /// What keeps a file from being read.
    pub(crate) fn fare_packs(&self) -> Result<BTreeMap<String, Vec<u8>>, PublishError> {
        let mut packs = BTreeMap::new();
        let Ok(entries) = fs::read_dir(self.folder.join("fares")) else {
            return Ok(packs);
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let operator = path.file_stem().and_then(|stem| stem.to_str());
            let is_pack = path.extension().is_some_and(|ending| ending == "cbor");
            if let Some(operator) = operator.filter(|_| is_pack) {
                packs.insert(operator.to_owned(), read_limited(&path, PACK_MAX)?);
            }
        }
        Ok(packs)
    }

    /// The operator's pack.
    ///
    /// # Errors
    /// What keeps the file from being read, or a file that is no pack.
    pub(crate) fn fare_pack(&self, operator: &str) -> Result<Option<FarePack>, PublishError> {
        let path = self.fares_path(operator);
        if !path.exists() {
            return Ok(None);
        }
        let pack = FarePack::decode(&read_limited(&path, PACK_MAX)?);
        let refused = |reason: obol_credential::Malformed| super::InputsRefused::Fares {
            operator: operator.to_owned(),
            reason: reason.to_string(),
        };
        Ok(Some(pack.map_err(refused)?))
    }

    /// Takes a pack in the place of the operator's; durable when this returns. It must hold now,
    /// and begin later than the one that is there: a server that was left behind with an old tariff
    /// does not bring it back. A correction, which begins at the same second, names the pack that
    /// it `replaces`.
    ///
    /// # Errors
    /// [`PushRefused`]; the same pack again is no error and changes nothing.
    pub(crate) fn push(
        &self,
        operator: &str,
        pack: &FarePack,
        replaces: Option<PackId>,
        now: UnixTime,
    ) -> Result<(), PushRefused> {
        debug_assert!(is_name(operator));
        let (from, until) = (pack.valid_from(), pack.valid_until());
        if now < from || until < now {
            return Err(PushRefused::NotInForce { from, until, now });
        }
        let _locked = self.lock()?;
        let held = self.fare_pack(operator)?;
        let id = held.as_ref().map(FarePack::id);
        if id == Some(pack.id()) {
            return Ok(());
        }
        if replaces.is_some() && replaces != id {
            return Err(PushRefused::Changed(id));
        }
        if let Some(held) = held {
            let since = held.valid_from();
            let is_later = from > since || (from == since && replaces == id);
            if !is_later {
                return Err(PushRefused::Older {
                    pushed: from,
                    held: held.id(),
                    since,
                });
            }
        }
        let path = self.fares_path(operator);
        make_folder(path.parent().expect("a file in a folder"))?;
        Ok(replace_atomically(&path, pack.bytes(), Mode::Public)?)
    }

    fn write_suspended(&self, keys: &[SuspendedKey]) -> Result<(), PublishError> {
        let text: String = keys.iter().map(SuspendedKey::line).collect();
        let path = self.suspended_path();
        Ok(replace_atomically(&path, text.as_bytes(), Mode::Public)?)
    }

    /// Others that change something wait until the file is dropped.
    fn lock(&self) -> Result<File, FileError> {
        make_folder(&self.folder)?;
        let path = self.folder.join("state.lock");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&path);
        let locked = opened.and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| FileError::Write { path, source })
    }

    fn suspended_path(&self) -> PathBuf {
        self.folder.join("suspended")
    }

    fn fares_path(&self, operator: &str) -> PathBuf {
        self.folder.join(format!("fares/{operator}.cbor"))
    }
}

impl SuspendedKey {
    /// `KID`, or `KID SECONDS URI REASON`.
    fn parse(line: &str) -> Option<Self> {
        let (kid, rest) = line.split_once(' ').unwrap_or((line, ""));
        let kid = parse_kid(kid)?;
        if rest.is_empty() {
            return Some(Self { kid, command: None });
        }
        let mut parts = rest.splitn(3, ' ');
        let at = UnixTime(parts.next()?.parse().ok()?);
        let (by, reason) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let command = Some(SuspendCommand { at, by, reason });
        Some(Self { kid, command })
    }

    fn line(&self) -> String {
        match &self.command {
            None => format!("{}\n", self.kid),
            Some(SuspendCommand { at, by, reason }) => {
                format!("{} {} {by} {reason}\n", self.kid, at.0)
            }
        }
    }
}

/// 8 hexadecimal digits, lower case.
pub(crate) fn parse_kid(text: &str) -> Option<Kid> {
    let digits = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let kid = u32::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some(Kid(kid.to_be_bytes()))
}

/// The kids alone.
pub(crate) fn kids(keys: &[SuspendedKey]) -> BTreeSet<Kid> {
    keys.iter().map(|key| key.kid).collect()
}
