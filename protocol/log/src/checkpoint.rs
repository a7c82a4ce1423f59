//! C2SP tlog-checkpoint: a tree head as the text of a note.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::str::FromStr;

use data_encoding::BASE64;
use thiserror::Error;

use crate::base64;
use crate::hash::Hash;
use crate::note::NAME_MAX;
use crate::tree::SIZE_MAX;

/// Longest origin, bytes.
pub const ORIGIN_MAX: usize = NAME_MAX;
/// Most extension lines that are read over.
const EXTENSIONS_MAX: usize = 16;

/// A tree head: whose log, how many leaves, which root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log, for ever: a URL without scheme.
    pub origin: String,
    /// Number of leaves, at most 2^62.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// Why a note's text is no checkpoint.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// Not at least three lines, each not empty and ended by a newline.
    #[error("not at least three lines, none of them empty")]
    Lines,
    /// The origin is too long.
    #[error("an origin of {0} bytes, more than {ORIGIN_MAX}")]
    Origin(usize),
    /// The second line is no number of leaves.
    #[error("the size is not a decimal number of at most 2^62 without leading zeros")]
    Size,
    /// The third line is no hash.
    #[error("the root is not the base64 of 32 bytes")]
    Root,
}

impl Checkpoint {
    /// The text of the note: three lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64.encode(&self.root.0)
        )
    }

    /// Reads the text of a note. Extension lines are allowed and say nothing.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let lines: Vec<_> = body.split('\n').take(4 + EXTENSIONS_MAX).collect();
        if lines.len() > 3 + EXTENSIONS_MAX || lines.iter().any(|line| line.is_empty()) {
            return Err(CheckpointError::Lines);
        }
        let [origin, size, root, ..] = lines[..] else {
            return Err(CheckpointError::Lines);
        };
        if origin.len() > ORIGIN_MAX {
            return Err(CheckpointError::Origin(origin.len()));
        }
        let root = base64::decode(root).ok_or(CheckpointError::Root)?;
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_size(size).ok_or(CheckpointError::Size)?,
            root: Hash(root.try_into().map_err(|_| CheckpointError::Root)?),
        })
    }
}

/// A size in its only form: decimal, no sign, no leading zeros.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse_decimal(text).filter(|size| *size <= SIZE_MAX)
}

pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || (!text.starts_with(['0', '+']) && !text.is_empty());
    plain.then(|| u64::from_str(text).ok()).flatten()
}
