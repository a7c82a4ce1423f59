//! Files that commands read and write.

use std::io::Write;
use std::path::Path;

use obol_console::{FileError, Mode, Outcome, read_limited, write_new_atomically};
use obol_kms::x509::{Certificate, PEM_MAX};
use serde::Serialize;

use crate::failure::Failure;

/// Asked before a key is generated, so that a typing error costs no key.
pub(crate) fn must_be_free(path: &Path) -> Result<(), Failure> {
    match path.symlink_metadata() {
        Ok(_) => Err(FileError::Exists {
            path: path.to_path_buf(),
        }
        .into()),
        Err(_) => Ok(()),
    }
}

pub(crate) fn read_pem(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(read_limited(path, PEM_MAX)?)
}

pub(crate) fn read_certificate(path: &Path) -> Result<Certificate, Failure> {
    Ok(Certificate::from_pem(&read_pem(path)?)?)
}

pub(crate) fn write_certificate(path: &Path, certificate: &Certificate) -> Result<(), FileError> {
    write_new_atomically(path, certificate.to_pem().as_bytes(), Mode::Public)
}

/// The answer of a command as JSON, on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> Result<Outcome, Failure> {
    let failed = |error| Failure::with_help(error, "standard output must take the answer");
    let text = serde_json::to_string_pretty(value).expect("texts and numbers are JSON");
    writeln!(std::io::stdout(), "{text}").map_err(failed)?;
    Ok(Outcome::Done)
}
