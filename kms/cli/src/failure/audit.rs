//! What commands of the audit log say when they fail.

use std::path::PathBuf;

use obol_kms_audit::{Finding, ReadError, VerifyError};
use obol_log::witness::{Refusal, SubmissionError};
use obol_log::{NoteError, VkeyError};

use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
#[error("{} is no folder", .0.display())]
pub(crate) struct NoFolder(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("{} is not a signed checkpoint", path.display())]
pub(crate) struct NotANote {
    pub(crate) path: PathBuf,
    pub(crate) source: NoteError,
}

#[derive(Debug, thiserror::Error)]
#[error("{} is not a proof", .0.display())]
pub(crate) struct NotAProof(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBelieved {
    #[error("the log does not prove its own entry: {0}")]
    Log(String),
    #[error("{} proves nothing: {why}", path.display())]
    Proof { path: PathBuf, why: String },
}

#[derive(Debug, thiserror::Error)]
#[error("{} is not a submission to a witness", path.display())]
pub(crate) struct NotASubmission {
    pub(crate) path: PathBuf,
    pub(crate) source: SubmissionError,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAWitnessKey {
    #[error("{0:?} is no name of a key")]
    Name(String),
    #[error("{} is not a witness's private key", path.display())]
    File { path: PathBuf, source: VkeyError },
}

#[derive(Debug, thiserror::Error)]
#[error("key file {} has mode {mode:04o}", path.display())]
pub(crate) struct OpenKeyFile {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("{} is not a checkpoint that this witness has cosigned", .0.display())]
pub(crate) struct StateNotOurs(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("{} is not a P-256 public key in PEM, or the name is no name of a key", .0.display())]
pub(crate) struct NotAPublicKey(pub(crate) PathBuf);

impl From<NoFolder> for Failure {
    fn from(error: NoFolder) -> Failure {
        Failure::failed(
            error,
            "give the folder of the audit log, or of a copy of it, as --log",
        )
    }
}

impl From<NotANote> for Failure {
    fn from(error: NotANote) -> Failure {
        Failure::failed(
            error,
            "give the checkpoint as the log or the witness wrote it",
        )
    }
}

impl From<NotAProof> for Failure {
    fn from(error: NotAProof) -> Failure {
        Failure::failed(error, "give what `obol-kms audit prove` wrote with --out")
    }
}

impl From<NotBelieved> for Failure {
    fn from(error: NotBelieved) -> Failure {
        let help = match &error {
            NotBelieved::Log(_) => "`obol-kms audit verify` says which file was changed",
            NotBelieved::Proof { .. } => {
                "compare --key and --witness with their owners; if they are right, the entry or the proof was changed"
            }
        };
        Failure::refused(error, help)
    }
}

impl From<NotASubmission> for Failure {
    fn from(error: NotASubmission) -> Failure {
        Failure::failed(error, "give what `obol-kms audit submission` wrote")
    }
}

impl From<NotAWitnessKey> for Failure {
    fn from(error: NotAWitnessKey) -> Failure {
        let help = match &error {
            NotAWitnessKey::Name(_) => {
                "give a name without spaces and +, such as auditor.example/w1"
            }
            NotAWitnessKey::File { .. } => "give the file that `obol-kms audit witness-key` wrote",
        };
        Failure::failed(error, help)
    }
}

impl From<OpenKeyFile> for Failure {
    fn from(error: OpenKeyFile) -> Failure {
        Failure::failed(
            error,
            "chmod 600 it, and make a new key if others could have read it",
        )
    }
}

impl From<StateNotOurs> for Failure {
    fn from(error: StateNotOurs) -> Failure {
        Failure::refused(
            error,
            "restore the witness's own state; without it the log could show another history",
        )
    }
}

impl From<NotAPublicKey> for Failure {
    fn from(error: NotAPublicKey) -> Failure {
        Failure::failed(
            error,
            "give a PEM file that begins with BEGIN PUBLIC KEY, and a name without spaces and +",
        )
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        match &error {
            ReadError::OutOfRange { .. } => Failure::refused(
                error,
                "ask for less: the log's last checkpoint covers no more",
            ),
            ReadError::Signature { .. } => Failure::refused(error, KEY_HELP),
            ReadError::Missing { .. } => Failure::failed(
                error,
                "is --log the folder of an audit log with a checkpoint? `obol-kms audit verify` says what is missing",
            ),
            ReadError::Read { .. } => {
                Failure::failed(error, "check that this user may read the log's folder")
            }
            _ => Failure::refused(error, "`obol-kms audit verify` says which file was changed"),
        }
    }
}

const KEY_HELP: &str =
    "compare --key with the log's owner; a key that was rotated is given as well";

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Failure {
        match &error {
            VerifyError::Found(finding) => {
                let help = help_for(finding);
                Failure::refused(error, help)
            }
            VerifyError::Read { .. } => {
                Failure::failed(error, "check that this user may read the log's folder")
            }
            VerifyError::NoLog => Failure::failed(
                error,
                "give the folder of the audit log, or of a copy of it, as --log",
            ),
        }
    }
}

fn help_for(finding: &Finding) -> &'static str {
    match finding {
        Finding::Checkpoint { .. } => KEY_HELP,
        Finding::RolledBack { .. } => {
            "entries were taken away: keep this folder as evidence and compare it with the latest backup"
        }
        Finding::Rewritten { .. } => {
            "somebody with the log's key signed another history: keep this folder and the checkpoint as evidence"
        }
        Finding::Unexpected { .. } => {
            "find out who put it there; a log's folder holds nothing else"
        }
        _ => "keep this folder as evidence and compare that file with the latest backup",
    }
}

impl From<Refusal> for Failure {
    fn from(error: Refusal) -> Failure {
        let help = match &error {
            Refusal::RolledBack { .. } | Refusal::Inconsistent { .. } => {
                "nothing was cosigned: keep the state and what was submitted as evidence against the log"
            }
            Refusal::OldSize { .. } => {
                "have the submission made with --old as the size this witness has cosigned"
            }
            Refusal::Signature(_) => KEY_HELP,
            Refusal::Origin { .. } | Refusal::Checkpoint(_) => {
                "give a checkpoint of the log whose key is --key, and a state of its own for each log"
            }
        };
        Failure::refused(error, help)
    }
}
