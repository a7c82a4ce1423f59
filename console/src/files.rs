use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use tempfile::NamedTempFile;
use thiserror::Error;

/// Who may read a file that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 0600: keys, state, anything with a secret in it.
    Private,
    /// 0644 before the umask: certificates, requests, pictures.
    Public,
}

/// Why a file could not be read or written.
#[derive(Debug, Error, Diagnostic)]
pub enum FileError {
    /// The target of `write_new_atomically` is there already.
    #[error("{} exists already", path.display())]
    #[diagnostic(help(
        "choose another path, or move that file away first; nothing was overwritten"
    ))]
    Exists {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    #[diagnostic(help("check that the path is right and that you may read it"))]
    Read {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is larger than what its reader expects.
    #[error("{} is larger than {limit} bytes", path.display())]
    #[diagnostic(help("check that the path is right: nothing that belongs here is that large"))]
    TooLarge {
        /// The path that was asked for.
        path: PathBuf,
        /// The largest size accepted, in bytes.
        limit: usize,
    },
    /// The file stands there whole, but a power cut may still undo that.
    #[error("{} is written, but its folder could not be synced", path.display())]
    #[diagnostic(help(
        "check the disk's health; until it is synced, a power cut may undo the write"
    ))]
    NotDurable {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Writing failed; the target is as it was before.
    #[error("cannot write {}", path.display())]
    #[diagnostic(help(
        "check that its folder exists, that you may write to it and that the disk has room"
    ))]
    Write {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Writes a file that must not exist yet: after a crash it is there whole or not at all.
///
/// # Errors
/// [`FileError::Exists`] when the path is taken, [`FileError::NotDurable`] when the file is there
/// all the same, [`FileError::Write`] otherwise.
pub fn write_new_atomically(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), FileError> {
    place_new(filled_beside(path, bytes, mode)?, path)?;
    sync_folder_of(path)
}

/// Writes a private file and the public one that belongs to it, a key and its certificate request
/// for instance; each is a path and its bytes, and neither may exist yet. Half a pair would keep
/// the next try out, so there are both or none: only a crash between two renames leaves the private
/// one alone.
///
/// # Errors
/// As [`write_new_atomically`]; after [`FileError::NotDurable`] both are there.
pub fn write_new_pair(
    (private, secret): (&Path, &[u8]),
    (public, open): (&Path, &[u8]),
) -> Result<(), FileError> {
    let secret = filled_beside(private, secret, Mode::Private)?;
    let open = filled_beside(public, open, Mode::Public)?;
    place_new(secret, private)?;
    if let Err(error) = place_new(open, public) {
        std::fs::remove_file(private).map_err(write_error(private))?;
        return Err(error);
    }
    sync_folder_of(private)?;
    sync_folder_of(public)
}

/// Makes a folder and those around it that are missing; the folder's name outlives a power cut when
/// this returns. No error when it is there: it may be there since a moment ago, and not durable.
///
/// # Errors
/// [`FileError::Write`], and [`FileError::NotDurable`] when it is there all the same.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut missing: Vec<_> = path.ancestors().take_while(|one| !one.is_dir()).collect();
    missing.retain(|one| !one.as_os_str().is_empty());
    std::fs::create_dir_all(path).map_err(write_error(path))?;
    missing.push(path);
    missing.into_iter().try_for_each(sync_folder_of)
}

/// Makes an empty file that its owner alone may read, unless there is one: for those who would make
/// it with the umask's mode, as SQLite does.
///
/// # Errors
/// [`FileError::Write`].
pub fn make_private(path: &Path) -> Result<(), FileError> {
    let mut options = File::options();
    match options.create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(write_error(path)(error)),
        _ => Ok(()),
    }
}

/// Writes a file over whatever is there: after a crash it holds the old bytes or the new ones,
/// whole.
///
/// # Errors
/// [`FileError::NotDurable`] when the new file is there all the same, [`FileError::Write`]
/// otherwise.
pub fn replace_atomically(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), FileError> {
    let temporary = filled_beside(path, bytes, mode)?;
    temporary
        .persist(path)
        .map_err(|failure| write_error(path)(failure.error))?;
    sync_folder_of(path)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`FileError::Read`] and [`FileError::TooLarge`].
pub fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let read_error = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read_error)?;
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Removes from a folder what [`write_new_atomically`] and [`replace_atomically`] were still writing
/// when their process was killed. For a folder in which nobody else writes.
///
/// # Errors
/// [`FileError::Write`].
pub fn remove_unfinished(folder: &Path) -> Result<(), FileError> {
    let failed = write_error(folder);
    let removed = || -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let unfinished = name.starts_with(UNFINISHED_PREFIX.as_bytes())
                && name.ends_with(UNFINISHED_SUFFIX.as_bytes());
            if unfinished && entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    removed().map_err(failed)
}

/// Names of files that are not whole yet begin and end so.
const UNFINISHED_PREFIX: &str = ".";
const UNFINISHED_SUFFIX: &str = ".part";

fn filled_beside(path: &Path, bytes: &[u8], mode: Mode) -> Result<NamedTempFile, FileError> {
    let mode = match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .suffix(UNFINISHED_SUFFIX)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))
        .map_err(write_error(path))?;
    temporary.write_all(bytes).map_err(write_error(path))?;
    temporary.as_file().sync_all().map_err(write_error(path))?;
    Ok(temporary)
}

fn place_new(temporary: NamedTempFile, path: &Path) -> Result<(), FileError> {
    match temporary.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(failure) if failure.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists {
                path: path.to_owned(),
            })
        }
        Err(failure) => Err(write_error(path)(failure.error)),
    }
}

/// The rename itself is durable only once the folder is synced.
fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|source| FileError::NotDurable {
            path: path.to_owned(),
            source,
        })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    |source| FileError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_with_those_around_it_and_its_name_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        assert!(deep.is_dir());
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = make_folder(&file.join("d")).unwrap_err();
        assert!(matches!(error, FileError::Write { .. }), "{error}");
        // The kernel refuses to sync what has no medium: the sync was asked for.
        let error = make_folder(Path::new("/proc/self")).unwrap_err();
        assert!(matches!(error, FileError::NotDurable { .. }), "{error}");
    }

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new_atomically(&path, b"k", Mode::Private).unwrap();
        assert_eq!(mode_of(&path), 0o600);
    }

    #[test]
    fn a_file_that_exists_is_never_overwritten_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_new_atomically(&path, b"first", Mode::Private).unwrap();
        let refused = write_new_atomically(&path, b"second", Mode::Private).unwrap_err();
        assert!(matches!(refused, FileError::Exists { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn a_pair_of_files_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (key, request) = (folder.path().join("key"), folder.path().join("request"));
        let write = || write_new_pair((&key, b"k"), (&request, b"r"));
        std::fs::write(&request, b"theirs").unwrap();
        let refused = write().unwrap_err();
        assert!(matches!(refused, FileError::Exists { path } if path == request));
        assert!(!key.exists());
        assert_eq!(std::fs::read(&request).unwrap(), b"theirs");

        std::fs::remove_file(&request).unwrap();
        write().unwrap();
        assert_eq!((mode_of(&key), mode_of(&request)), (0o600, 0o644));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

        let refused = write().unwrap_err();
        assert!(matches!(refused, FileError::Exists { path } if path == key));
        assert_eq!(std::fs::read(&request).unwrap(), b"r");
    }

    /// A folder that may be written to and not be read cannot be opened to be synced.
    #[test]
    fn a_file_whose_folder_cannot_be_synced_is_there_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let mode = |bits| Permissions::from_mode(bits);
        std::fs::set_permissions(folder.path(), mode(0o300)).unwrap();
        let written = write_new_atomically(&path, b"k", Mode::Private);
        std::fs::set_permissions(folder.path(), mode(0o700)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"k");
        match written {
            Err(FileError::NotDurable { path: named, .. }) => assert_eq!(named, path),
            // root reads every folder
            other => other.unwrap(),
        }
    }

    #[test]
    fn a_private_file_is_made_once_and_keeps_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        make_private(&path).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        std::fs::write(&path, b"rows").unwrap();
        make_private(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"rows");
    }

    #[test]
    fn replacing_leaves_the_new_bytes_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        replace_atomically(&path, b"one", Mode::Private).unwrap();
        replace_atomically(&path, b"two", Mode::Private).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_a_missing_folder_is_a_write_error_that_names_it() {
        let path = Path::new("/nonexistent-folder/file");
        let error = write_new_atomically(path, b"", Mode::Public).unwrap_err();
        assert_eq!(error.to_string(), "cannot write /nonexistent-folder/file");
    }

    #[test]
    fn a_file_larger_than_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        write_new_atomically(&path, &[0; 11], Mode::Public).unwrap();
        assert_eq!(read_limited(&path, 11).unwrap().len(), 11);
        let error = read_limited(&path, 10).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { limit: 10, .. }));
    }
}
