//! A policy set as files.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Largest file of a policy set, in bytes.
pub const FILE_MAX: u64 = 64 * 1024;
/// Most files of a policy set, the schema included.
pub const FILES_MAX: usize = 64;
/// Most policies of a set.
pub const POLICIES_MAX: usize = 256;

const SCHEMA: &str = "schema.cedarschema";
const POLICY_SUFFIX: &str = ".cedar";
/// Keeps these hashes apart from all others; the number changes with the form below.
const HASH_DOMAIN: &[u8] = b"obol-kms-policy/1\n";

/// Why a policy set was not loaded. Nothing is decided by a set that has a fault anywhere.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file or the folder cannot be read.
    #[error("policy file {} cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Neither the schema nor a policy: a misspelt name would be a policy that nobody applies.
    #[error("{} is neither schema.cedarschema nor a file NAME.cedar", .0.display())]
    UnknownFile(PathBuf),
    /// The schema or every policy is missing.
    #[error("the policy folder {} has no {missing}", folder.display())]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// `schema.cedarschema` or `policy`.
        missing: &'static str,
    },
    /// Larger than a policy set may be.
    #[error("{what} is larger than {limit}")]
    TooLarge {
        /// File, or what is counted.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// Not text, or not in the language.
    #[error("{file}: {message}")]
    Syntax {
        /// Name of the file.
        file: String,
        /// What is wrong, with its place.
        message: String,
        /// The parser's error.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Each policy says its name, or no audit could say which one decided.
    #[error(
        "{file}: policy number {number} has no @id(\"NAME\") of 1 to 64 of a-z, 0-9 and - that no other policy has"
    )]
    Id {
        /// Name of the file.
        file: String,
        /// Counted from 1 as the file has them.
        number: usize,
    },
    /// A policy uses words that the schema does not have, or can never apply.
    #[error("policy {policy} does not fit the schema: {message}")]
    Invalid {
        /// Id of the policy.
        policy: String,
        /// The validator's words.
        message: String,
    },
    /// The schema lacks a word that the key management uses.
    #[error("the schema has no {0}")]
    Vocabulary(String),
    /// Without Cedar no other set than the committed one can be enforced.
    #[error(
        "this build enforces policy set {} alone, and {} holds {}",
        HEXLOWER.encode(built_in), folder.display(), HEXLOWER.encode(found)
    )]
    NotTheBuiltIn {
        /// The folder.
        folder: PathBuf,
        /// Hash of the built-in set.
        built_in: [u8; 32],
        /// Hash of the folder's set.
        found: [u8; 32],
    },
}

/// Names and bytes of a set's files, sorted by name.
#[derive(Debug)]
pub(crate) struct Source {
    files: BTreeMap<String, Vec<u8>>,
}

impl Source {
    /// The set that the repository holds.
    pub(crate) fn committed() -> Source {
        let files: [(&str, &[u8]); 3] = [
            (
                "limits.cedar",
                include_bytes!("../../../policies/kms/limits.cedar"),
            ),
            (
                "permits.cedar",
                include_bytes!("../../../policies/kms/permits.cedar"),
            ),
            (
                SCHEMA,
                include_bytes!("../../../policies/kms/schema.cedarschema"),
            ),
        ];
        let owned = files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        Source {
            files: owned.into(),
        }
    }

    pub(crate) fn read(folder: &Path) -> Result<Source, PolicyError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| PolicyError::Read { path, source }
        };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            let name = file_name(&path).ok_or_else(|| PolicyError::UnknownFile(path.clone()))?;
            let length = path.metadata().map_err(unreadable(&path))?.len();
            at_most(&name, length, FILE_MAX)?;
            let bytes = fs::read(&path).map_err(unreadable(&path))?;
            files.insert(name, bytes);
            at_most(
                "the number of policy files",
                files.len() as u64,
                FILES_MAX as u64,
            )?;
        }
        let missing = match (files.contains_key(SCHEMA), files.len()) {
            (false, _) => Some(SCHEMA),
            (true, 1) => Some("policy"),
            (true, _) => None,
        };
        match missing {
            None => Ok(Source { files }),
            Some(missing) => Err(PolicyError::Incomplete {
                folder: folder.to_owned(),
                missing,
            }),
        }
    }

    /// SHA-256 over the names and bytes of all files, each with its length, sorted by name.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(HASH_DOMAIN);
        for (name, bytes) in &self.files {
            for part in [name.as_bytes(), bytes] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    #[cfg(feature = "cedar")]
    pub(crate) fn schema(&self) -> Result<&str, PolicyError> {
        // Present: both constructors put it there.
        self.files
            .get(SCHEMA)
            .map_or(Ok(""), |bytes| text(SCHEMA, bytes))
    }

    /// Names and texts of the policy files.
    #[cfg(feature = "cedar")]
    pub(crate) fn policies(&self) -> impl Iterator<Item = Result<(&str, &str), PolicyError>> {
        let policies = self.files.iter().filter(|(name, _)| *name != SCHEMA);
        policies.map(|(name, bytes)| Ok((name.as_str(), text(name, bytes)?)))
    }
}

pub(crate) fn at_most(what: &str, found: u64, limit: u64) -> Result<(), PolicyError> {
    if found > limit {
        let what = what.to_owned();
        return Err(PolicyError::TooLarge { what, limit });
    }
    Ok(())
}

fn file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem_ok = |stem: &str| {
        !stem.is_empty()
            && stem
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let known = name == SCHEMA || name.strip_suffix(POLICY_SUFFIX).is_some_and(stem_ok);
    (known && path.is_file()).then(|| name.to_owned())
}

#[cfg(feature = "cedar")]
fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, PolicyError> {
    std::str::from_utf8(bytes).map_err(|error| PolicyError::Syntax {
        file: file.to_owned(),
        message: "not UTF-8".to_owned(),
        source: Some(error.into()),
    })
}
