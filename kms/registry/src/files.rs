use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a registry does with names of files; their bytes are SQLite's. Nothing is durable until it
/// was synced. Implemented by [`Disk`], and by tests that cut the power.
pub trait Files {
    /// Whether there is anything of this name.
    fn exists(&self, path: &Path) -> bool;

    /// Makes an empty file that its owner alone may read.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and the system's.
    fn create(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name, in the same folder.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and the system's.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a name away.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and the system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the bytes of a file are on the medium.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in a folder are on the medium.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }

    /// SQLite would make the file with the umask's mode, and its companions take the file's.
    fn create(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The folder that a path lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
