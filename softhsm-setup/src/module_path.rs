//! Where systems keep SoftHSM's library.

use std::path::{Path, PathBuf};

use crate::failure::SetupError;

/// Debian and Ubuntu, Fedora, Arch, Homebrew on Apple silicon and on Intel, source builds.
const PLACES: [&str; 8] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/usr/lib/libsofthsm2.so",
];

pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, SetupError> {
    match given {
        Some(path) if path.is_file() => Ok(path.to_path_buf()),
        Some(path) => Err(SetupError::ModulePath(path.to_path_buf())),
        None => PLACES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
            .ok_or_else(|| SetupError::NoModule(PLACES.to_vec())),
    }
}
