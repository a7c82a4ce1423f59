//! The port to the file system. Paths are relative to the log's folder, with `/`. Nothing is
//! durable until it was synced: the bytes of a file by [`StoredFile::sync`], names (a file made,
//! renamed or removed) by [`Storage::sync_folder`] of the folder they stand in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Owner alone, and readers of his group: an auditor's account may read the log and not write it.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// Held while a log is open; whoever drops it lets others open the log.
pub trait Lock: Send + Sync {}

/// A file that is being written, from its start.
pub trait StoredFile: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all bytes are on the medium.
    ///
    /// # Errors
    /// The system's; what was written since the last sync may or may not be there.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder that holds one log. Implemented by [`Disk`], and by tests that cut the power.
pub trait Storage: Send + Sync {
    /// Locks the log against a second writer.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when it is locked.
    fn lock(&self) -> io::Result<Box<dyn Lock>>;

    /// The bytes of a file; `None` when there is none.
    ///
    /// # Errors
    /// The system's, and [`ErrorKind::FileTooLarge`] for more than `limit` bytes.
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// The names in a folder, those of folders with a `/` at the end; none when there is no such
    /// folder. The path of the log's own folder is empty.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder in a folder that exists; no error when it is there already.
    ///
    /// # Errors
    /// The system's.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// Makes an empty file, in the place of one that is there.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &str) -> io::Result<Box<dyn StoredFile>>;

    /// Gives a file another name in the same folder, in the place of one that has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file or an empty folder; no error when there is none.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Returns when the names in a folder are on the medium.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, path: &str) -> io::Result<()>;
}

/// The file system, below one folder.
#[derive(Clone, Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// A log's folder, which must exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.folder.clone()
        } else {
            self.folder.join(path)
        }
    }
}

impl Lock for File {}

impl StoredFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Storage for Disk {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.at("lock"))?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.at(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            let what = format!("{path} has more than {limit} bytes");
            return Err(io::Error::new(ErrorKind::FileTooLarge, what));
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound && !folder.is_empty() => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let mut name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort();
        Ok(names)
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        match fs::DirBuilder::new()
            .mode(FOLDER_MODE)
            .create(self.at(path))
        {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn StoredFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.at(path))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        let removed = if path.is_dir() {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        };
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }
}
