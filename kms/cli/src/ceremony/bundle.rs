//! A bundle's folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use obol_console::{
    FileError, Mode, read_limited, remove_unfinished, replace_atomically, write_new_atomically,
};
use obol_kms_ceremony::{
    BUNDLE_FILE_MAX, Bundle, CHANGE_MAX, FileHash, Hash, PLAN_MAX, RosterChain, TRANSCRIPT_MAX,
    Transcript,
};

use crate::ceremony::arguments::Rosters;
use crate::failure::Failure;
use crate::failure::ceremony::{NotABundle, TooManyFiles};

/// Most files of a bundle.
const FILES_MAX: usize = 512;
const FOLDERS: [&str; 6] = [
    "approvals",
    "audit",
    "inputs",
    "outputs",
    "rosters",
    "tokens",
];
const TRANSCRIPT: &str = "transcript";

/// A bundle that grows: files are new, the transcript is appended.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder and writes these files into it.
    pub(super) fn create(path: &Path, files: &Bundle) -> Result<Folder, Failure> {
        let failed = |source| FileError::Write {
            path: path.to_path_buf(),
            source,
        };
        fs::create_dir(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists {
                path: path.to_path_buf(),
            },
            _ => failed(source),
        })?;
        for folder in FOLDERS {
            fs::create_dir(path.join(folder)).map_err(failed)?;
        }
        for (name, bytes) in files {
            write_new_atomically(&path.join(name), bytes, Mode::Public)?;
        }
        Ok(Folder {
            path: path.to_path_buf(),
        })
    }

    pub(super) fn open(path: &Path) -> Folder {
        Folder {
            path: path.to_path_buf(),
        }
    }

    /// Removes what was being written when the ceremony was interrupted: no event names it.
    pub(super) fn remove_unfinished(&self) -> Result<(), Failure> {
        remove_unfinished(&self.path)?;
        // A copy may have lost the folders that were empty.
        let folders = FOLDERS.map(|folder| self.path.join(folder));
        let mut folders = folders.iter().filter(|folder| folder.is_dir());
        Ok(folders.try_for_each(|folder| remove_unfinished(folder))?)
    }

    /// Every file, by its path in the folder.
    pub(super) fn read(&self) -> Result<Bundle, Failure> {
        let mut bundle = Bundle::new();
        self.read_folder(&self.path, "", &mut bundle)?;
        Ok(bundle)
    }

    fn read_folder(&self, at: &Path, prefix: &str, bundle: &mut Bundle) -> Result<(), Failure> {
        let failed = |source| FileError::Read {
            path: at.to_path_buf(),
            source,
        };
        for entry in fs::read_dir(at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let stranger = || NotABundle(entry.path());
            let name = entry.file_name().into_string().map_err(|_| stranger())?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() && prefix.is_empty() && FOLDERS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{name}/"), bundle)?;
            } else if kind.is_file() {
                let bytes = read_limited(&entry.path(), BUNDLE_FILE_MAX)?;
                bundle.insert(format!("{prefix}{name}"), bytes);
            } else {
                return Err(stranger().into());
            }
            if bundle.len() > FILES_MAX {
                return Err(TooManyFiles(self.path.clone()).into());
            }
        }
        Ok(())
    }

    /// Writes the first event; there is no transcript yet.
    pub(super) fn begin_transcript(&self, event: &[u8]) -> Result<(), Failure> {
        Ok(write_new_atomically(
            &self.path.join(TRANSCRIPT),
            event,
            Mode::Public,
        )?)
    }

    /// Appends an event and syncs it: only then may anything be done because of it.
    pub(super) fn append(&self, event: &[u8]) -> Result<(), Failure> {
        let path = self.path.join(TRANSCRIPT);
        let appended = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(event)?;
            file.sync_all()
        };
        let source = match appended() {
            Ok(()) => return Ok(()),
            Err(source) => source,
        };
        Err(FileError::Write { path, source }.into())
    }

    /// Reads the transcript; an event that was cut short by the interruption is cut off.
    pub(super) fn recover_transcript(&self) -> Result<Transcript, Failure> {
        let path = self.path.join(TRANSCRIPT);
        let bytes = read_limited(&path, TRANSCRIPT_MAX)?;
        let whole = Transcript::whole(&bytes);
        let transcript = Transcript::read(&bytes[..whole])?;
        if whole < bytes.len() {
            let cut = || -> io::Result<()> {
                let file = File::options().write(true).open(&path)?;
                file.set_len(whole as u64)?;
                file.sync_all()
            };
            cut().map_err(|source| FileError::Write { path, source })?;
        }
        Ok(transcript)
    }

    /// Writes an output, whole and new.
    pub(super) fn output(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(write_new_atomically(
            &self.output_path(name),
            bytes,
            Mode::Public,
        )?)
    }

    /// Writes what holds at the ceremony's end. Nothing names it before the last event does, so
    /// that after an interruption it is written again.
    pub(super) fn ending(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(replace_atomically(
            &self.path.join(name),
            bytes,
            Mode::Public,
        )?)
    }

    pub(super) fn output_path(&self, name: &str) -> PathBuf {
        self.path.join("outputs").join(name)
    }

    pub(super) fn file(&self, name: &str) -> Result<Vec<u8>, Failure> {
        Ok(read_limited(&self.path.join(name), BUNDLE_FILE_MAX)?)
    }
}

/// Name and hash of each file.
pub(super) fn hashes(files: &Bundle) -> Vec<FileHash> {
    let one = |(name, bytes): (&String, &Vec<u8>)| FileHash {
        name: name.clone(),
        sha256: Hash::of(bytes),
    };
    files.iter().map(one).collect()
}

/// The rosters of a command, and their files as a bundle has them.
pub(super) fn rosters(arguments: &Rosters) -> Result<(RosterChain, Bundle), Failure> {
    let first = read_limited(&arguments.roster, PLAN_MAX)?;
    let mut changes = Vec::new();
    for path in &arguments.roster_change {
        changes.push(read_limited(path, CHANGE_MAX)?);
    }
    let chain = RosterChain::read(&first, &changes)?;
    let mut files = Bundle::from([("rosters/0.toml".to_owned(), first)]);
    for (number, change) in changes.into_iter().enumerate() {
        files.insert(format!("rosters/{}.change", number + 1), change);
    }
    Ok((chain, files))
}
