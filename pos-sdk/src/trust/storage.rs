//! A folder whose files change whole or not at all, also when the power fails.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// What the updater needs of a medium. Implemented by [`TrustFolder`], and by tests that cut the
/// power.
pub trait TrustStorage {
    /// The bytes of a file; `None` when there is none.
    ///
    /// # Errors
    /// The system's, and [`ErrorKind::FileTooLarge`] for more than `limit` bytes.
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file of these bytes, in the place of one that is there, and returns when they are on
    /// the medium; the name need not be.
    ///
    /// # Errors
    /// The system's.
    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name, in the place of one that has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; no error when there is none.
    ///
    /// # Errors
    /// The system's.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Returns when the folder's names are on the medium.
    ///
    /// # Errors
    /// The system's.
    fn sync_names(&mut self) -> io::Result<()>;

    /// The names of its files.
    ///
    /// # Errors
    /// The system's.
    fn names(&self) -> io::Result<Vec<String>>;
}

const TEMPORARY: &str = "new.part";

/// Replaces a file, whole or not at all, durably.
pub(crate) fn replace(storage: &mut impl TrustStorage, name: &str, bytes: &[u8]) -> io::Result<()> {
    storage.write_synced(TEMPORARY, bytes)?;
    storage.rename(TEMPORARY, name)?;
    storage.sync_names()
}

/// The bytes of a file; `None` when there is none.
pub(crate) fn read_limited(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(Some(bytes))
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct TrustFolder {
    path: PathBuf,
}

impl TrustFolder {
    /// A folder that exists.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl TrustStorage for TrustFolder {
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        read_limited(&self.path.join(name), limit)
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.path.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// The kernel refuses to sync what has no medium: who gets its refusal has asked for the sync.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_synced_when_it_is_written_and_names_when_that_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = TrustFolder::new(folder.path());
        std::os::unix::fs::symlink("/dev/null", folder.path().join("null")).unwrap();
        let refused = storage.write_synced("null", b"bytes").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        storage.write_synced("file", b"bytes").unwrap();
        let read = storage.read("file", 5).unwrap();
        assert_eq!(read.as_deref(), Some(&b"bytes"[..]));
        let refused = TrustFolder::new(Path::new("/proc")).sync_names();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
