//! What officers signed in advance and laid into a folder: roots, targets for coming periods,
//! emergency targets, and the files that these vouch for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, read_limited};
use obol_credential::UnixTime;
use obol_trust::tuf::{P256, Root, Signed, TargetFile, Targets};
use thiserror::Error;

/// The targets of the next period are published so many seconds before those of this one end: 120 h.
/// For their end there is no grace, and a terminal that hears nothing for 96 h must not meet it.
pub const PERIOD_OVERLAP_S: u32 = 120 * 3600;

const _: () = assert!(PERIOD_OVERLAP_S > super::ONLINE_LIFE_S + 72 * 3600);

const METADATA_MAX: usize = 256 * 1024;
const TARGET_MAX: usize = 1024 * 1024;
const ROOTS_MAX: u32 = 1024;
const TARGETS_MAX: usize = 256;

/// Why what officers signed is not used.
#[derive(Debug, Error, Diagnostic)]
pub enum OfflineError {
    /// A file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The folder cannot be listed.
    #[error("the officers' folder {} cannot be listed", path.display())]
    #[diagnostic(help("make it, with root/1.root.json and targets/1.targets.json in it"))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's.
        source: std::io::Error,
    },
    /// No first root.
    #[error("{} is not there", .0.display())]
    #[diagnostic(help("lay the officers' first root there"))]
    NoRoot(PathBuf),
    /// A document is malformed, not signed or out of order.
    #[error("{} is not used: {reason}", path.display())]
    #[diagnostic(help("have the officers sign it again, from the release's tools"))]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing that could be published now.
    #[error("no targets in {} are good at {now}", path.display())]
    #[diagnostic(help("have the officers sign targets for the coming periods"))]
    NoTargets {
        /// The folder.
        path: PathBuf,
        /// The time.
        now: UnixTime,
    },
    /// A file that the targets vouch for.
    #[error("{} is not the {target} that the officers' targets list", path.display())]
    #[diagnostic(help("lay the file there that was there when the targets were signed"))]
    Target {
        /// Where it was looked for.
        path: PathBuf,
        /// Its path in the metadata.
        target: String,
    },
}

/// The officers' folder: `root/N.root.json`, `targets/N.targets.json` and `emergency/N.targets.json`,
/// `files/SHA256` or `files/PATH`.
#[derive(Clone, Debug)]
pub struct Offline {
    path: PathBuf,
}

impl Offline {
    /// In this folder.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The roots from the first on, each verified by the one before and by itself; the last is in
    /// force at `now`.
    ///
    /// # Errors
    /// [`OfflineError`].
    ///
    /// # Panics
    /// Never: the chain begins with a first root.
    pub fn roots(&self, now: UnixTime) -> Result<Vec<(Root, Vec<u8>)>, OfflineError> {
        let mut roots: Vec<(Root, Vec<u8>)> = Vec::new();
        for version in 1..=ROOTS_MAX {
            let path = self.path.join("root").join(format!("{version}.root.json"));
            if !path.exists() {
                break;
            }
            let bytes = read_limited(&path, METADATA_MAX)?;
            let before = roots.last().map(|(root, _)| root);
            let root =
                read_root(&bytes, before, version).map_err(|reason| document(&path, reason))?;
            roots.push((root, bytes));
        }
        let first = || OfflineError::NoRoot(self.path.join("root/1.root.json"));
        let (last, _) = roots.last().ok_or_else(first)?;
        if last.head.has_expired(now) {
            let name = format!("root/{}.root.json", last.head.version);
            let reason = format!("it expired at {}", last.head.expires);
            return Err(document(&self.path.join(name), reason));
        }
        Ok(roots)
    }

    /// The targets to publish at `now`: those of the period that is due, or, with a higher version,
    /// an emergency's. Versions that are signed in advance ascend with their periods.
    ///
    /// # Errors
    /// [`OfflineError`].
    pub fn targets(&self, root: &Root, now: UnixTime) -> Result<(Targets, Vec<u8>), OfflineError> {
        let mut due = None;
        let mut before: Option<UnixTime> = None;
        for (targets, bytes) in self.read_targets("targets", root)?.into_values() {
            // The first is due at once, the next when the one before comes to its end.
            let begins = before.map(|end| end.minus(PERIOD_OVERLAP_S));
            before = Some(targets.head.expires);
            if begins.is_none_or(|begins| begins <= now) {
                due = Some((targets, bytes));
            }
        }
        let emergency = self
            .read_targets("emergency", root)?
            .into_values()
            .next_back();
        let newest = due
            .into_iter()
            .chain(emergency)
            .max_by_key(|(targets, _)| targets.head.version);
        let good = newest.filter(|(targets, _)| !targets.head.has_expired(now));
        good.ok_or_else(|| OfflineError::NoTargets {
            path: self.path.clone(),
            now,
        })
    }

    /// A file that targets vouch for.
    ///
    /// # Errors
    /// [`OfflineError::Target`] when it is missing or another.
    pub fn file(&self, target: &str, file: &TargetFile) -> Result<Vec<u8>, OfflineError> {
        let hash = PathBuf::from(format!("files/{}", file.hashes.prefix()));
        for place in place(target).iter().flat_map(|own| [&hash, own]) {
            let path = self.path.join(place);
            if path.exists() {
                let bytes = read_limited(&path, TARGET_MAX)?;
                if file.fits(&bytes) {
                    return Ok(bytes);
                }
            }
        }
        Err(OfflineError::Target {
            path: self.path.join("files").join(target),
            target: target.to_owned(),
        })
    }

    fn read_targets(
        &self,
        folder: &str,
        root: &Root,
    ) -> Result<BTreeMap<u32, (Targets, Vec<u8>)>, OfflineError> {
        let folder = self.path.join(folder);
        let mut read = BTreeMap::new();
        for path in list(&folder)? {
            let bytes = read_limited(&path, METADATA_MAX)?;
            let targets = read_targets(&bytes, root).map_err(|reason| document(&path, reason))?;
            read.insert(targets.head.version, (targets, bytes));
            if read.len() > TARGETS_MAX {
                return Err(document(
                    &path,
                    format!("more than {TARGETS_MAX} of its kind"),
                ));
            }
        }
        Ok(read)
    }
}

/// Where a target lies in the officers' folder; `None` for a name that leads elsewhere.
pub(crate) fn place(target: &str) -> Option<PathBuf> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\');
    let path = || PathBuf::from(format!("files/{target}"));
    target.split('/').all(plain).then(path)
}

pub(crate) fn read_root(bytes: &[u8], before: Option<&Root>, version: u32) -> Result<Root, String> {
    let signed = Signed::parse(bytes, METADATA_MAX).map_err(|error| error.to_string())?;
    let root = Root::read(signed.unverified()).map_err(|error| error.to_string())?;
    for by in before.into_iter().chain([&root]) {
        let verified = signed.verified_by(&by.keys, by.role("root"), &P256);
        verified.map_err(|error| error.to_string())?;
    }
    if root.head.version != version {
        return Err(format!("it has version {}", root.head.version));
    }
    Ok(root)
}

pub(crate) fn read_targets(bytes: &[u8], root: &Root) -> Result<Targets, String> {
    let signed = Signed::parse(bytes, METADATA_MAX).map_err(|error| error.to_string())?;
    let verified = signed.verified_by(&root.keys, root.role("targets"), &P256);
    let json = verified.map_err(|error| error.to_string())?;
    Targets::read(json).map_err(|error| error.to_string())
}

fn document(path: &Path, reason: String) -> OfflineError {
    let path = path.to_owned();
    OfflineError::Document { path, reason }
}

/// The `*.json` of a folder; none when there is no such folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    let failed = |source| OfflineError::Folder {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}
