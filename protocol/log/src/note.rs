//! C2SP signed notes (c2sp.org/signed-note): text, a blank line, signature lines.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::fmt;

use data_encoding::BASE64;
use thiserror::Error;

use crate::base64;

/// Longest note, bytes.
pub const NOTE_MAX: usize = 64 * 1024;
/// Most signature lines of a note; the specification demands at least 16.
pub const SIGNATURES_MAX: usize = 64;
/// Longest name of a key, bytes.
pub(crate) const NAME_MAX: usize = 255;

const DASH: &str = "\u{2014} ";

/// The four bytes that tell keys of one name apart; no strong identifier, by design.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One signature line: who, by which key, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The key's name.
    pub name: String,
    /// Which of the keys of that name.
    pub key_id: KeyId,
    /// What the key's algorithm made, after the key id; never empty.
    pub signature: Vec<u8>,
}

/// A note that is well-formed; nobody has believed its signatures yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// Why bytes are no note.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX`].
    #[error("a note of {0} bytes, more than {NOTE_MAX}")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("byte {at}: not UTF-8")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// A control character other than newline.
    #[error("byte {at}: a control character")]
    Control {
        /// Its offset.
        at: usize,
    },
    /// No blank line, no text before it, or no newline at the end.
    #[error("not a text, a blank line and signature lines, each ended by a newline")]
    Shape,
    /// A signature line that is not `— NAME BASE64`.
    #[error("signature line {line} is malformed")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// More than [`SIGNATURES_MAX`].
    #[error("{0} signature lines, more than {SIGNATURES_MAX}")]
    TooManySignatures(usize),
}

impl Note {
    /// A note over `text`, which ends in a newline and has neither control characters nor an empty
    /// last line; `None` otherwise.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let good = text.len() > 1
            && text.ends_with('\n')
            && !text.ends_with("\n\n")
            && text.len() < NOTE_MAX
            && control_in(&text).is_none();
        good.then_some(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = core::str::from_utf8(bytes).map_err(|error| NoteError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        if let Some(at) = control_in(note) {
            return Err(NoteError::Control { at });
        }
        let blank = note.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        if text.len() < 2 {
            return Err(NoteError::Shape);
        }
        let count = lines.split('\n').count();
        if count > SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures(count));
        }
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(at, line)| SignatureLine::parse(line).ok_or(NoteError::Line { line: at + 1 }))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// What is signed: everything before the blank line, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a line, in the place of one by the same key if there is one.
    pub fn sign(&mut self, line: SignatureLine) {
        let same =
            |other: &&mut SignatureLine| other.name == line.name && other.key_id == line.key_id;
        match self.signatures.iter_mut().find(same) {
            Some(old) => *old = line,
            None => self.signatures.push(line),
        }
    }

    /// The note as its readers expect it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.text.clone();
        text.push('\n');
        for line in &self.signatures {
            text.push_str(&line.to_text());
        }
        text
    }

    /// The signatures that claim to be by this key.
    pub(crate) fn by<'a>(
        &'a self,
        name: &'a str,
        key_id: KeyId,
    ) -> impl Iterator<Item = &'a SignatureLine> {
        self.signatures
            .iter()
            .filter(move |line| line.name == name && line.key_id == key_id)
    }
}

impl SignatureLine {
    /// Reads one line without its newline; `None` when it is malformed.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        if !is_name(name) {
            return None;
        }
        let bytes = base64::decode(signature)?;
        let (key_id, signature) = bytes.split_first_chunk::<4>()?;
        (!signature.is_empty()).then(|| Self {
            name: name.to_owned(),
            key_id: KeyId(*key_id),
            signature: signature.to_vec(),
        })
    }

    /// The line with its newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = self.key_id.0.to_vec();
        bytes.extend_from_slice(&self.signature);
        format!("{DASH}{} {}\n", self.name, BASE64.encode(&bytes))
    }
}

/// Key names are not empty and have neither spaces nor `+`.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(good)
}

fn control_in(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte < 0x20 && byte != b'\n')
}
