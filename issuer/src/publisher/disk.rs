use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a repository lies: the file system, or in tests one whose power fails. All paths are below
/// the repository's folder, which is the empty path.
pub trait Disk: fmt::Debug + Send + Sync {
    /// The bytes of a file; `None` when there is none.
    ///
    /// # Errors
    /// The system's, and [`ErrorKind::FileTooLarge`] beyond `limit`.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Writes a file, over one that is there; its bytes are durable when this returns, its name is
    /// not.
    ///
    /// # Errors
    /// The system's.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file another name in its folder, in the place of a file that has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder; no error when it is there.
    ///
    /// # Errors
    /// The system's.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// What is in a folder; nothing where there is none.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &Path) -> io::Result<Vec<DiskEntry>>;
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskEntry {
    /// A file's.
    File(String),
    /// A folder's.
    Folder(String),
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct FileSystem {
    base: PathBuf,
}

impl FileSystem {
    /// In `base`, which is made, durably, if it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(base: &Path) -> io::Result<Self> {
        let base = base.to_owned();
        let disk = Self { base };
        disk.make_base()?;
        Ok(disk)
    }

    fn make_base(&self) -> io::Result<()> {
        fs::create_dir_all(&self.base)?;
        match self.base.canonicalize()?.parent() {
            Some(around) => File::open(around)?.sync_all(),
            None => Ok(()),
        }
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

impl Disk for FileSystem {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.at(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut options = File::options();
        // Readable by the server of static files.
        options.write(true).create(true).truncate(true).mode(0o644);
        let mut file = options.open(self.at(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        // Somebody may have removed all of it while we run.
        if !self.base.exists() {
            self.make_base()?;
        }
        match fs::create_dir(self.at(path)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<DiskEntry>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Whoever laid a name there that is no text is not us: it stays.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            found.push(if entry.file_type()?.is_dir() {
                DiskEntry::Folder(name)
            } else {
                DiskEntry::File(name)
            });
        }
        Ok(found)
    }
}

/// The kernel refuses to sync what has no medium: who gets its refusal has asked for the sync.
#[cfg(test)]
mod tests {
    use super::*;

    fn refused(done: io::Result<()>) {
        assert_eq!(done.unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_is_synced_when_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileSystem::open(folder.path()).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("null")).unwrap();
        refused(disk.write_synced(Path::new("null"), b"bytes"));
        disk.write_synced(Path::new("file"), b"bytes").unwrap();
        let read = disk.read(Path::new("file"), 5).unwrap();
        assert_eq!(read.as_deref(), Some(&b"bytes"[..]));
        let too_long = disk.read(Path::new("file"), 4).unwrap_err();
        assert_eq!(too_long.kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_folder_is_synced_and_the_one_around_the_repository_as_well() {
        let base = PathBuf::from("/proc");
        refused(FileSystem { base }.sync_folder(Path::new("")));
        refused(FileSystem::open(Path::new("/proc/self")).map(drop));
    }
}
