//! The repository's folder: `metadata/` and `targets/`, as any static server serves them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use obol_console::FileError;
use obol_credential::UnixTime;
use obol_trust::tuf::{
    Client, Fetched, Limits, P256, Signed, Snapshot, Stored, TargetFile, Targets, Timestamp,
};

use super::disk::{Disk, DiskEntry};
use super::{Current, KEEP_S, Offline, PublishError, Published};

const FILE_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Folder<D> {
    disk: D,
    /// Where it is, for messages.
    place: PathBuf,
    /// Folders in which a name may not be durable: of a file, or of a folder.
    unsynced: BTreeSet<PathBuf>,
    /// Since when files that are there belong to no newest set.
    unreferenced: BTreeMap<PathBuf, UnixTime>,
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

impl<D: Disk> Folder<D> {
    /// What is there may have been written by a process that was killed before it synced the names:
    /// all folders are synced before anything builds on them.
    pub(super) fn open(disk: D, place: PathBuf) -> Result<Self, FileError> {
        let mut folder = Self {
            disk,
            place,
            unsynced: BTreeSet::from([PathBuf::new()]),
            unreferenced: BTreeMap::new(),
        };
        for below in ["metadata", "targets"] {
            folder.make_folder(Path::new(below))?;
        }
        let mut there = Walked::default();
        folder.walk(Path::new(""), &mut there)?;
        folder.unsynced.extend(there.folders);
        Ok(folder)
    }

    pub(super) fn write_target(&mut self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.write_once(&target(path, &TargetFile::of(bytes)), bytes)
    }

    /// A name stands for one content: what is there already stays, unless it was damaged.
    pub(super) fn write_once(&mut self, name: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let there = self.disk.read(name, FILE_MAX);
        if there.is_ok_and(|there| there.as_deref() == Some(bytes)) {
            return Ok(());
        }
        self.replace(name, bytes)
    }

    /// Durable, as its name, when [`Folder::settle`] has returned.
    pub(super) fn replace(&mut self, name: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let folder = name.parent().expect("a file lies in a folder").to_owned();
        self.make_folder(&folder)?;
        let file = name.file_name().expect("a file has a name");
        let part = folder.join(format!(".{}.part", file.to_string_lossy()));
        let written = self.disk.write_synced(&part, bytes);
        let named = written.and_then(|()| self.disk.rename(&part, name));
        named.map_err(|source| self.write_error(name, source))?;
        self.unsynced.insert(folder);
        Ok(())
    }

    /// What was written until now outlives a power cut. To be called before a timestamp names it,
    /// and after.
    pub(super) fn settle(&mut self) -> Result<(), FileError> {
        while let Some(folder) = self.unsynced.first().cloned() {
            let synced = self.disk.sync_folder(&folder);
            synced.map_err(|source| FileError::NotDurable {
                path: self.place.join(&folder),
                source,
            })?;
            self.unsynced.remove(&folder);
        }
        Ok(())
    }

    /// With those around it.
    fn make_folder(&mut self, path: &Path) -> Result<(), FileError> {
        let around: Vec<_> = path.ancestors().collect();
        for folder in around.into_iter().rev().skip(1) {
            let parent = folder.parent().expect("the first was skipped");
            let name = folder.file_name().expect("it has a parent");
            let name = DiskEntry::Folder(name.to_string_lossy().into_owned());
            let there = self.disk.list(parent);
            let there = there.map_err(|source| self.read_error(parent, source))?;
            if !there.contains(&name) {
                let made = self.disk.make_folder(folder);
                made.map_err(|source| self.write_error(folder, source))?;
                self.unsynced.insert(parent.to_owned());
            }
        }
        Ok(())
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
            let bytes = self.disk.read(&metadata(&wanted.name), wanted.max_len);
            let root = wanted.name.ends_with("root.json");
            let fed = match &bytes {
                Ok(Some(bytes)) if !root => client.supply(Fetched::Bytes(bytes)),
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
        let bytes = self.read(&name)?;
        Some(Published { content, bytes, at })
    }

    fn left<T, E>(
        &self,
        name: &str,
        read: impl Fn(&obol_trust::json::Json) -> Result<T, E>,
        at: impl Fn(&T) -> Option<UnixTime>,
    ) -> Option<Published<T>> {
        let bytes = self.read(name)?;
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
            metadata("timestamp.json"),
            metadata(&format!("{}.snapshot.json", snapshot.head.version)),
        ]);
        for (name, meta) in &snapshot.meta {
            kept.insert(metadata(&format!("{}.{name}", meta.version)));
        }
        let files = roles.iter().flat_map(|role| &role.targets);
        kept.extend(files.map(|(path, file)| target(path, file)));
        let mut there = Walked::default();
        self.walk(Path::new(""), &mut there)?;
        let stale = there
            .files
            .into_iter()
            .filter(|name| !kept.contains(name))
            .filter(|name| !name.to_string_lossy().ends_with(".root.json"));
        let mut unreferenced = BTreeMap::new();
        for name in stale {
            let since = *self.unreferenced.get(&name).unwrap_or(&now);
            if now.since(since) > i64::from(KEEP_S) {
                let removed = self.disk.remove(&name);
                removed.map_err(|source| self.write_error(&name, source))?;
            } else {
                unreferenced.insert(name, since);
            }
        }
        self.unreferenced = unreferenced;
        Ok(())
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.disk.read(&metadata(name), FILE_MAX).ok()?
    }

    fn walk(&self, below: &Path, found: &mut Walked) -> Result<(), FileError> {
        let entries = self.disk.list(below);
        for entry in entries.map_err(|source| self.read_error(below, source))? {
            match entry {
                DiskEntry::File(name) => found.files.push(below.join(name)),
                DiskEntry::Folder(name) => {
                    let folder = below.join(name);
                    self.walk(&folder, found)?;
                    found.folders.push(folder);
                }
            }
        }
        Ok(())
    }

    fn read_error(&self, path: &Path, source: io::Error) -> FileError {
        let path = self.place.join(path);
        FileError::Read { path, source }
    }

    fn write_error(&self, path: &Path, source: io::Error) -> FileError {
        let path = self.place.join(path);
        FileError::Write { path, source }
    }
}

/// What is below the repository's folder.
#[derive(Default)]
struct Walked {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}
