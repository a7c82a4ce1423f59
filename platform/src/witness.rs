//! The platform as the witness of a key management daemon's audit log. It is another trust domain
//! than the daemon: whoever sets the log back must also change what the platform remembers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_log::witness::{Refusal, Submission, judge};
use obol_log::{
    Checkpoint, LogKey, NOTE_MAX, Note, SignatureLine, VkeyError, WitnessKey, WitnessSigner,
};
use thiserror::Error;
use zeroize::Zeroizing;

const KEY_FILE_MAX: usize = 1024;

/// A witness of one log; its memory is one file.
pub struct LogWitness {
    signer: WitnessSigner,
    log: LogKey,
    state: PathBuf,
    turn: Mutex<()>,
}

/// Why nothing was cosigned.
#[derive(Debug, Error, Diagnostic)]
pub enum WitnessError {
    /// A file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The key file holds no key.
    #[error("{} is not a witness's private key: {source}", path.display())]
    #[diagnostic(help("make one with `obol-kms audit witness-key`"))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VkeyError,
    },
    /// Others can read the key.
    #[error("{} has mode {mode:04o}: others can use the witness's key", path.display())]
    #[diagnostic(help("chmod 600 it, and make a new key if others could have read it"))]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is remembered was not written by this witness.
    #[error("{} is not a checkpoint that this witness has cosigned", .0.display())]
    #[diagnostic(help(
        "restore it from the platform's backup; without it the log could show another history"
    ))]
    State(PathBuf),
    /// The log does not continue what was cosigned, or is not the log it should be.
    #[error("the audit log is not cosigned: {0}")]
    #[diagnostic(help(
        "compare the log with its backup: `obol-kms audit verify` locates the change"
    ))]
    Refused(#[from] Refusal),
}

impl LogWitness {
    /// A witness with the key in `key_file` for the log of `log`, that remembers in `state`.
    ///
    /// # Errors
    /// [`WitnessError`] for files that cannot be read or are not what they should be.
    pub fn open(key_file: &Path, log: LogKey, state: &Path) -> Result<Self, WitnessError> {
        let wrong = |source| WitnessError::Key {
            path: key_file.to_owned(),
            source,
        };
        demand_private(key_file)?;
        let bytes = Zeroizing::new(read_limited(key_file, KEY_FILE_MAX)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(VkeyError::Shape))?;
        let witness = Self {
            signer: WitnessSigner::from_text(text).map_err(wrong)?,
            log,
            state: state.to_owned(),
            turn: Mutex::new(()),
        };
        witness.seen()?;
        Ok(witness)
    }

    /// The origin of its log.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.log.name()
    }

    /// The key that the log and its auditors know this witness by.
    #[must_use]
    pub fn public(&self) -> &WitnessKey {
        self.signer.public()
    }

    /// The tree head that was cosigned last; `None` before the first.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn seen(&self) -> Result<Option<Checkpoint>, WitnessError> {
        if !self.state.exists() {
            return Ok(None);
        }
        let not_ours = || WitnessError::State(self.state.clone());
        let bytes = read_limited(&self.state, NOTE_MAX)?;
        let note = Note::parse(&bytes).map_err(|_| not_ours())?;
        self.public().verify(&note).map_err(|_| not_ours())?;
        let seen = Checkpoint::parse(note.text()).map_err(|_| not_ours())?;
        Ok(Some(seen))
    }

    /// Checks that a checkpoint continues the last one, remembers it, and cosigns it at `now`,
    /// seconds since 1970 UTC. It is on the disk before the line is returned.
    ///
    /// # Errors
    /// [`WitnessError`]; what was remembered stays as it was.
    pub fn cosign(&self, submission: Submission, now: u32) -> Result<SignatureLine, WitnessError> {
        let _turn = self.turn.lock().expect("no holder of this lock panics");
        let seen = self.seen()?;
        let good = judge(&self.log, self.log.name(), seen.as_ref(), submission)?;
        let line = good.cosign(&self.signer, u64::from(now));
        let mut note = good.note().clone();
        note.sign(line.clone());
        replace_atomically(&self.state, note.to_text().as_bytes(), Mode::Private)?;
        Ok(line)
    }
}

fn demand_private(path: &Path) -> Result<(), WitnessError> {
    let metadata = fs::metadata(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(WitnessError::Mode { path, mode });
    }
    Ok(())
}
