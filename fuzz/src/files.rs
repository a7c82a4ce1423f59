//! Parsers that read files and folders get real ones.

use std::path::Path;

use crate::Taken;

pub(crate) fn with_folder(take: impl FnOnce(&Path) -> Taken) -> Taken {
    let folder = tempfile::tempdir().expect("a temporary folder");
    take(folder.path())
}

pub(crate) fn with_file(name: &str, data: &[u8], take: impl FnOnce(&Path) -> Taken) -> Taken {
    with_folder(|folder| {
        let path = folder.join(name);
        std::fs::write(&path, data).expect("a temporary folder takes a file");
        take(&path)
    })
}
