//! What each issuer denies, for whichever of them publishes: a file for each key in the folder that
//! all of them share. It stays when its issuer is lost.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_credential::Kid;
use thiserror::Error;

use crate::register::DeniedIndexes;

/// The folder below the publisher's state.
const FOLDER: &str = "denied";
/// Keys of a bundle.
const FILES_MAX: usize = 64;
/// Every index of a few lists of the largest size, in digits.
const FILE_MAX: usize = 64 * 1024 * 1024;

/// A file that is none of ours.
#[derive(Debug, Error, Diagnostic)]
pub enum DenialsRefused {
    /// It cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// It is not what an issuer wrote.
    #[error("{} is no list of denied indexes: {reason}", path.display())]
    #[diagnostic(help("the issuer that has the key writes it anew; let no other write there"))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Writes the files of an issuer's own keys when they change.
#[derive(Debug, Default)]
pub(super) struct Denials {
    written: HashMap<Kid, String>,
}

impl Denials {
    pub(super) fn write(
        &mut self,
        state: &Path,
        own: &[Kid],
        denied: &[DeniedIndexes],
    ) -> Result<(), FileError> {
        let folder = state.join(FOLDER);
        for kid in own {
            let text = text_of(denied.iter().filter(|list| list.kid == *kid));
            if self.written.get(kid) == Some(&text) {
                continue;
            }
            if let Err(source) = fs::create_dir_all(&folder) {
                let path = folder;
                return Err(FileError::Write { path, source });
            }
            replace_atomically(
                &folder.join(kid.to_string()),
                text.as_bytes(),
                Mode::Private,
            )?;
            self.written.insert(*kid, text);
        }
        Ok(())
    }
}

/// Reads every issuer's files below a publisher's state.
///
/// # Errors
/// [`DenialsRefused`] of the first that is not what an issuer wrote.
pub fn read_denials(state: &Path) -> Result<Vec<DeniedIndexes>, DenialsRefused> {
    let mut lists = Vec::new();
    let Ok(entries) = fs::read_dir(state.join(FOLDER)) else {
        return Ok(lists);
    };
    for entry in entries.flatten().take(FILES_MAX) {
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str());
        // What replaces a file has another name until it is whole.
        let Some(kid) = name.and_then(super::parse_kid) else {
            continue;
        };
        let bytes = read_limited(&path, FILE_MAX)?;
        let read = lists_of(kid, &bytes);
        lists.extend(read.map_err(|reason| DenialsRefused::Malformed { path, reason })?);
    }
    Ok(lists)
}

/// A line for each list: its epoch, and each index after a space.
fn text_of<'a>(lists: impl Iterator<Item = &'a DeniedIndexes>) -> String {
    let mut text = String::new();
    for list in lists {
        write!(text, "{}", list.epoch).expect("a string takes what is written");
        for index in &list.indexes {
            write!(text, " {index}").expect("a string takes what is written");
        }
        text.push('\n');
    }
    text
}

pub(crate) fn lists_of(kid: Kid, bytes: &[u8]) -> Result<Vec<DeniedIndexes>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut lists = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = |word: &str| {
            let plain = word.bytes().all(|byte| byte.is_ascii_digit());
            let number = word.parse::<u32>().ok().filter(|_| plain);
            number.ok_or_else(|| format!("line {}: {word:?} is no number", at + 1))
        };
        let mut words = line.split(' ');
        let epoch = number(words.next().unwrap_or(""))?;
        let indexes = words.map(number).collect::<Result<_, _>>()?;
        lists.push(DeniedIndexes {
            kid,
            epoch,
            indexes,
        });
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KID: Kid = Kid([0, 0xab, 1, 2]);

    fn lists() -> Vec<DeniedIndexes> {
        let list = |epoch, indexes: &[u32]| DeniedIndexes {
            kid: KID,
            epoch,
            indexes: indexes.to_vec(),
        };
        vec![list(20_000, &[]), list(20_001, &[0, 7, 1_048_575])]
    }

    #[test]
    fn what_an_issuer_wrote_is_read_back_and_other_keys_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut denials = Denials::default();
        denials.write(folder.path(), &[KID], &lists()).unwrap();
        assert_eq!(read_denials(folder.path()).unwrap(), lists());
        let other = Kid([9; 4]);
        denials.write(folder.path(), &[other], &[]).unwrap();
        assert_eq!(read_denials(folder.path()).unwrap(), lists());
    }

    #[test]
    fn a_file_that_no_issuer_wrote_is_refused_with_its_line() {
        for (text, reason) in [
            ("20000 7\n20001 x\n", "line 2: \"x\" is no number"),
            ("20000  7\n", "line 1: \"\" is no number"),
            ("20000 +7\n", "line 1: \"+7\" is no number"),
            ("\n", "line 1: \"\" is no number"),
            ("20000 4294967296\n", "line 1: \"4294967296\" is no number"),
        ] {
            assert_eq!(lists_of(KID, text.as_bytes()).unwrap_err(), reason);
        }
        assert_eq!(lists_of(KID, b"\xff").unwrap_err(), "not UTF-8");
        assert_eq!(lists_of(KID, b""), Ok(Vec::new()));
    }
}
