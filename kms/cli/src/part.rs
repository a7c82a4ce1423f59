//! Folders that are there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::must_be_free;

#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", path.display())]
pub(crate) struct NotWritten {
    path: PathBuf,
    source: std::io::Error,
}

impl From<NotWritten> for Failure {
    fn from(error: NotWritten) -> Failure {
        Failure::with_help(
            error,
            "check the path, its permissions and the space on the disk",
        )
    }
}

pub(crate) fn written(path: &Path) -> impl Fn(std::io::Error) -> NotWritten {
    move |source| NotWritten {
        path: path.to_owned(),
        source,
    }
}

/// A folder that is filled beside its final place, and removed unless it gets there.
pub(crate) struct Part {
    path: PathBuf,
}

impl Part {
    pub(crate) fn beside(out: &Path) -> Result<Part, Failure> {
        must_be_free(out)?;
        let path = out.with_added_extension(format!("{}.part", std::process::id()));
        fs::create_dir(&path).map_err(written(&path))?;
        Ok(Part { path })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    pub(crate) fn new_folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::create_dir(&path).map_err(written(&path))?;
        Ok(path)
    }

    /// The name is taken only if nobody has it: an empty folder would be replaced otherwise.
    pub(crate) fn become_folder(self, out: &Path) -> Result<(), Failure> {
        must_be_free(out)?;
        let sync = |path: &Path| fs::File::open(path)?.sync_all();
        let folder = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let moved = sync(&self.path)
            .and_then(|()| fs::rename(&self.path, out))
            .and_then(|()| sync(folder));
        Ok(moved.map_err(written(out))?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone when it has become what it was to be.
        drop(fs::remove_dir_all(&self.path));
    }
}
