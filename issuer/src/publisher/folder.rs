//! The repository's folder: `metadata/` and `targets/`, as any static server serves them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_credential::UnixTime;
use obol_trust::tuf::{
    Client, Fetched, Limits, P256, Signed, Snapshot, Stored, TargetFile, Targets, Timestamp,
};

use super::{Current, KEEP_S, Offline, PublishError, Published};

const FILE_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Since when files that are there belong to no newest set.
    unreferenced: BTreeMap<PathBuf, UnixTime>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        for below in ["metadata", "targets"] {
            make_folder(&path.join(below))?;
        }
        Ok(Self {
            path: path.to_owned(),
            unreferenced: BTreeMap::new(),
        })
    }

    pub(super) fn metadata(name: &str) -> PathBuf {
        Path::new("metadata").join(name)
    }

    fn target(path: &str, file: &TargetFile) -> PathBuf {
        let hash = file.hashes.prefix();
        let located = match path.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/{hash}.{name}"),
            None => format!("{hash}.{path}"),
        };
        Path::new("targets").join(located)
    }

    pub(super) fn write_target(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.write_once(&Self::target(path, &TargetFile::of(bytes)), bytes)
    }

    /// A name stands for one content: what is there already stays, unless it was damaged.
    pub(super) fn write_once(&self, name: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path.join(name);
        let there = path.exists().then(|| read_limited(&path, FILE_MAX));
        if there.is_some_and(|there| there.is_ok_and(|there| there == bytes)) {
            return Ok(());
        }
        self.replace(name, bytes)
    }

    pub(super) fn replace(&self, name: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        replace_atomically(&path, bytes, Mode::Public)
    }

    /// What an earlier publisher left, as far as it still verifies. What does not is made anew, above
    /// the version that can still be read.
    pub(super) fn current(&self, offline: &Offline) -> Result<Current, PublishError> {
        let Ok(roots) = offline.roots(UnixTime(0)) else {
            return Ok(Current::default());
        };
        let mut current = Current {
            timestamp: self.left("timestamp.json", Timestamp::read, |of| of.issued),
            ..Current::default()
        };
        let (_, root) = roots.last().expect("a chain of roots has a first one");
        let stored = Stored {
            root: root.clone(),
            ..Stored::default()
        };
        let Ok(mut client) = Client::start(stored, UnixTime(0), Limits::TERMINAL, P256) else {
            return Ok(current);
        };
        let at = current.timestamp.as_ref().map_or(UnixTime(0), |of| of.at);
        if !self.feed(&mut client) {
            return Ok(current);
        }
        current.snapshot = self.published(client.snapshot(), "snapshot", |of| of.head.version, at);
        for role in ["denylist", "fares"] {
            if client.load(role).is_err() || !self.feed(&mut client) {
                continue;
            }
            let found = self.published(client.targets(role), role, |of| of.head.version, at);
            match role {
                "denylist" => current.denylist = found,
                _ => current.fares = found,
            }
        }
        Ok(current)
    }

    fn feed(&self, client: &mut Client<P256>) -> bool {
        while let Some(wanted) = client.wanted() {
            let path = self.path.join(Self::metadata(&wanted.name));
            let bytes = read_limited(&path, wanted.max_len);
            let root = wanted.name.ends_with("root.json");
            let fed = match &bytes {
                Ok(bytes) if !root => client.supply(Fetched::Bytes(bytes)),
                _ => client.supply(Fetched::Absent),
            };
            if fed.is_err() {
                return false;
            }
        }
        true
    }

    fn published<T: Clone>(
        &self,
        content: Option<&T>,
        role: &str,
        version: impl Fn(&T) -> u32,
        at: UnixTime,
    ) -> Option<Published<T>> {
        let content = content?.clone();
        let name = format!("{}.{role}.json", version(&content));
        let bytes = read_limited(&self.path.join(Self::metadata(&name)), FILE_MAX).ok()?;
        Some(Published { content, bytes, at })
    }

    fn left<T, E>(
        &self,
        name: &str,
        read: impl Fn(&obol_trust::json::Json) -> Result<T, E>,
        at: impl Fn(&T) -> Option<UnixTime>,
    ) -> Option<Published<T>> {
        let bytes = read_limited(&self.path.join(Self::metadata(name)), FILE_MAX).ok()?;
        let signed = Signed::parse(&bytes, FILE_MAX).ok()?;
        let content = read(signed.unverified()).ok()?;
        let at = at(&content)?;
        Some(Published { content, bytes, at })
    }

    /// Removes what no terminal can want any more: files that for [`KEEP_S`] have been in no newest
    /// set. Roots stay for ever, for terminals that were away for long.
    pub(super) fn forget_unreferenced(
        &mut self,
        snapshot: &Snapshot,
        roles: &[&Targets],
        now: UnixTime,
    ) -> Result<(), FileError> {
        let mut kept = BTreeSet::from([
            Self::metadata("timestamp.json"),
            Self::metadata(&format!("{}.snapshot.json", snapshot.head.version)),
        ]);
        for (name, meta) in &snapshot.meta {
            kept.insert(Self::metadata(&format!("{}.{name}", meta.version)));
        }
        let files = roles.iter().flat_map(|role| &role.targets);
        kept.extend(files.map(|(path, file)| Self::target(path, file)));
        let mut there = Vec::new();
        walk(&self.path, Path::new(""), &mut there)?;
        let stale = there
            .into_iter()
            .filter(|name| !kept.contains(name))
            .filter(|name| !name.to_string_lossy().ends_with(".root.json"));
        let mut unreferenced = BTreeMap::new();
        for name in stale {
            let since = *self.unreferenced.get(&name).unwrap_or(&now);
            if now.since(since) > i64::from(KEEP_S) {
                let path = self.path.join(&name);
                fs::remove_file(&path).map_err(|source| FileError::Write { path, source })?;
            } else {
                unreferenced.insert(name, since);
            }
        }
        self.unreferenced = unreferenced;
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })
}

fn walk(base: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let path = base.join(below);
    let failed = |source| FileError::Read {
        path: path.clone(),
        source,
    };
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = below.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(base, &name, found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}
