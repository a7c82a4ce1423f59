//! What commands of ceremonies say when they fail.

use std::io;
use std::path::PathBuf;

use obol_credential::UnixTime;
use obol_kms::payload::SignTufError;
use obol_kms::x509::ExamineError;
use obol_kms::{InitializeError, RecordError};
use obol_kms_ceremony::{
    ApprovalRefusal, AuditRefused, Hash, InvalidPlan, RecordsRefused, RehearsalRefused,
    RostersRefused, SharesRefused, TranscriptRefused,
};

use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
#[error("nobody answered")]
pub(crate) struct NoAnswer {
    source: io::Error,
}

impl NoAnswer {
    pub(crate) fn of(source: io::Error) -> Failure {
        NoAnswer { source }.into()
    }

    pub(crate) fn ended() -> NoAnswer {
        NoAnswer {
            source: io::Error::from(io::ErrorKind::UnexpectedEof),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("that is no PIN of 4 to 255 printable characters without blanks")]
pub(crate) struct NoPin;

#[derive(Debug, thiserror::Error)]
#[error("the two PINs differ")]
pub(crate) struct PinsDiffer;

#[derive(Debug, thiserror::Error)]
#[error("the PIN would come from {0}; in a ceremony it comes from people")]
pub(crate) struct PinFromFile(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("label or path of the module has a character besides letters, digits and - . _ /")]
pub(crate) struct NotUriText;

#[derive(Debug, thiserror::Error)]
#[error("{} is not part of a bundle", .0.display())]
pub(crate) struct NotABundle(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("{} has more files than a bundle", .0.display())]
pub(crate) struct TooManyFiles(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("the files of {} are not those that the ceremony began with", .0.display())]
pub(crate) struct NotHere(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("token {0:?} is in the plan or in the arguments, and not in both")]
pub(crate) struct NotNamed(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the token is {found:?}, the plan names {wanted:?}")]
pub(crate) struct WrongToken {
    pub(crate) wanted: String,
    pub(crate) found: String,
}

#[derive(Debug, thiserror::Error)]
#[error("token {0} is one of the plan's; a rehearsal takes a throwaway token")]
pub(crate) struct TokenKnown(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("token {token:?} has roster {} pinned, the first roster is {wanted}",
    found.as_deref().unwrap_or("none"))]
pub(crate) struct TokenNotPinned {
    pub(crate) token: String,
    pub(crate) found: Option<String>,
    pub(crate) wanted: String,
}

#[derive(Debug, thiserror::Error)]
#[error("another {what}: {found}, the plan names {wanted}")]
pub(crate) struct OtherEnvironment {
    pub(crate) what: &'static str,
    pub(crate) found: Hash,
    pub(crate) wanted: Hash,
}

#[derive(Debug, thiserror::Error)]
#[error("the request is for plan {wanted}, this is plan {found}")]
pub(crate) struct OtherPlan {
    pub(crate) found: Hash,
    pub(crate) wanted: Hash,
}

#[derive(Debug, thiserror::Error)]
#[error("{} has SHA-256 {found}, the plan names {wanted}", path.display())]
pub(crate) struct NotTheInput {
    pub(crate) path: PathBuf,
    pub(crate) found: Hash,
    pub(crate) wanted: Hash,
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not what was asked for: another name or another key")]
pub(crate) struct NotTheRequest(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("what the step made is not what the plan says: {0}")]
pub(crate) struct NotMade(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the certificate {0:?} names nobody")]
pub(crate) struct Nameless(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the bundle has no {0}")]
pub(crate) struct NotInBundle(pub(crate) &'static str);

#[derive(Debug, thiserror::Error)]
#[error("the plan names the audit log {0}, which is not given")]
pub(crate) struct LogNotGiven(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the plan names no audit log, and one is given")]
pub(crate) struct LogNotPlanned;

#[derive(Debug, thiserror::Error)]
#[error("token {0:?} has a record of a ceremony that is none, or more than 4096")]
pub(crate) struct TooManyRecords(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a TUF signature")]
pub(crate) struct NotASignature(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{name:?} has version {version}, which is not above {above}")]
pub(crate) struct NotAbove {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) above: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("output {0:?} is there already")]
pub(crate) struct OutputThere(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the token has a key labelled {0:?} already")]
pub(crate) struct KeyThere(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the token has {count} keys labelled {label:?}, wanted one")]
pub(crate) struct KeyNotThere {
    pub(crate) label: String,
    pub(crate) count: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the key labelled {0:?} is not the one of the plan")]
pub(crate) struct OtherKey(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("ceremony {0} has run before, or has begun elsewhere")]
pub(crate) struct IdUsed(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("the clock says {now}, what went before ended at {last} (seconds since 1970)")]
pub(crate) struct ClockBack {
    pub(crate) now: UnixTime,
    pub(crate) last: UnixTime,
}

#[derive(Debug, thiserror::Error)]
#[error("a rehearsal that was interrupted is not resumed")]
pub(crate) struct RehearsalInterrupted;

#[derive(Debug, thiserror::Error)]
#[error("{0:?} was not typed")]
pub(crate) struct WrongInitials(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("step {step} is not what the plan says: {what}")]
pub(crate) struct NotExamined {
    pub(crate) step: u32,
    pub(crate) what: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the plan follows the ceremony with transcript {0}, which is not given")]
pub(crate) struct LastMissing(pub(crate) Hash);

#[derive(Debug, thiserror::Error)]
#[error("facts differ from the last ceremony of this kind that the plan does not name: {0}")]
pub(crate) struct Unplanned(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WaiverRefused(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a hash of 64 lower-case hexadecimal digits")]
pub(crate) struct NotAHash(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{} is not text", .0.display())]
pub(crate) struct NotText(pub(crate) PathBuf);

/// Errors with one advice each; `refused` where the command was right and the answer is no.
macro_rules! advice {
    ($($error:ty => $kind:ident $help:literal),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::$kind(error, $help)
            }
        })+
    };
}

advice! {
    NoAnswer => failed "run it at a terminal; a ceremony that had begun is continued by `ceremony resume`",
    NoPin => failed "run it again; nothing was done",
    PinsDiffer => failed "run it again; nothing was done",
    PinFromFile => refused "give --shares, or a token file whose pin-source is prompt:",
    NotUriText => failed "give another --label, or the module by a plain path",
    NotABundle => failed "give the folder that `ceremony run` wrote, and nothing else in it",
    TooManyFiles => failed "give the folder that `ceremony run` wrote",
    NotHere => refused "put the bundle back as it was: it has been changed since",
    NotNamed => refused "give --token NAME=FILE for each token of the plan, and for no other",
    WrongToken => refused "put the plan's token into the slot; nothing was done",
    TokenKnown => refused "make a throwaway token with `ceremony token` and give that",
    TokenNotPinned => refused "give the first roster, or the token that was initialised with it",
    OtherEnvironment => refused "run the program and the library that the plan was made for, or make another plan",
    OtherPlan => refused "give the plan that the request was made from",
    NotTheInput => refused "find out who changed it, or make another plan; nothing was done",
    NotTheRequest => refused "compare the files' hashes with those read aloud at the other site",
    NotMade => failed "stop, keep the bundle as it is, and find out why",
    Nameless => refused "give the certificate that the plan is about",
    NotInBundle => refused "put the bundle back as it was: it has been changed since",
    LogNotGiven => refused "give --audit-log with the folder of that log, or of a copy of it",
    LogNotPlanned => refused "leave --audit-log out, or name the log's key with `ceremony fill --audit`",
    TooManyRecords => failed "find out what wrote it; a full token takes no more ceremonies",
    RecordsRefused => refused "keep the bundle as it is, and find out what happened to the token",
    AuditRefused => refused "keep both checkpoints, and find out what happened to the audit log",
    NotASignature => refused "give the file that `sign-tuf` wrote",
    NotAbove => refused "give metadata whose version jumps past all that were signed ahead",
    OutputThere => refused "nothing was overwritten; find out who wrote it",
    KeyThere => refused "nothing was generated; find out whose key it is, or plan another label",
    KeyNotThere => refused "give the token that has the key; `obol-kms token show` lists them",
    OtherKey => refused "find out whose key it is; nothing was done with it",
    IdUsed => refused "ask for new approvals of a new ceremony; an interrupted one is continued by `ceremony resume`",
    RehearsalInterrupted => refused "rehearse again, on another throwaway token",
    ClockBack => refused "set this machine's clock",
    WrongInitials => refused "the ceremony waits: `ceremony resume` goes on with it",
    NotExamined => failed "stop, keep the bundle as it is, and find out why",
    LastMissing => refused "give --last with that ceremony's bundle",
    Unplanned => refused "correct the plan, or name them in changes.allowed",
    WaiverRefused => refused "correct the waivers, and make another plan; nothing was done",
    NotAHash => failed "give the first roster's hash as `ceremony plan` prints it",
    NotText => failed "give a template from policies/ceremonies",
    InvalidPlan => refused "correct the plan; docs/spec/ceremony.md section 2 says what it may hold",
    ApprovalRefusal => refused "have the officers approve this very request; nothing was done",
    TranscriptRefused => refused "keep the bundle as it is, and find out who changed it",
    RehearsalRefused => refused "rehearse this plan with this program, and have that rehearsal approved",
    RostersRefused => refused "give the first roster and every change since, in order",
    SharesRefused => refused "ask the holder for the words again; nothing was done",
    ExamineError => refused "it is not what was planned: find out where it comes from",
    SignTufError => refused "correct the metadata; nothing was signed",
    RecordError => failed "the token does not keep records as demanded; look into its data objects",
    InitializeError => failed "choose another --label, or connect a token that is not initialised",
}
