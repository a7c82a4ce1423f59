use std::{
    fs, io,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, write_new_atomically};
use obol_fare::{FarePack, PACK_MAX};
use thiserror::Error;

/// Every fare pack ever published: a ride that arrives late is priced as it was on the bus.
pub(crate) struct FarePacks {
    all: Vec<FarePack>,
    current: FarePack,
}

/// Why the fare packs cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum PacksError {
    /// The folder cannot be read or made.
    #[error("the folder of fare packs {} cannot be used", path.display())]
    #[diagnostic(help("fare_packs names a folder that the service may write"))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// A file is no fare pack.
    #[error("{} is not a fare pack: {source}", path.display())]
    #[diagnostic(help("restore it from the backup: rides of that time are priced with it"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: obol_credential::Malformed,
    },
}

impl FarePacks {
    /// Reads the folder and adds `current` to it for good.
    pub(crate) fn publish(folder: &Path, current: FarePack) -> Result<Self, PacksError> {
        let failed = |source| PacksError::Folder {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "cbor")
            {
                all.push(read(path)?);
            }
        }
        if !all.iter().any(|pack| pack.id() == current.id()) {
            let file = folder.join(format!("{}.cbor", current.id()));
            write_new_atomically(&file, current.bytes(), Mode::Public)?;
            all.push(current.clone());
        }
        Ok(Self { all, current })
    }

    pub(crate) fn all(&self) -> &[FarePack] {
        &self.all
    }

    pub(crate) fn current(&self) -> &FarePack {
        &self.current
    }
}

fn read(path: PathBuf) -> Result<FarePack, PacksError> {
    let bytes = read_limited(&path, PACK_MAX)?;
    FarePack::decode(&bytes).map_err(|source| PacksError::Damaged { path, source })
}
