//! What commands of registry and officers say when they fail.

use std::path::PathBuf;

use obol_console::utc_text;
use obol_credential::{Malformed, UnixTime};
use obol_kms_registry::rotation::{InvalidFleet, InvalidPlan};
use obol_kms_registry::{
    BackupError, CertifyError, ChangeError, Class, Fault, InvalidLimits, InvalidRoster,
    InvalidSettings, NotCleared, OpenError, PlanRefusal, RegisterError, RestoreError, SpkiId,
    State,
};

use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
#[error("{0} keys of the token answer to that")]
pub(crate) struct NotOneKey(pub(crate) usize);

#[derive(Debug, thiserror::Error)]
#[error("keys of class {0} are on no curve")]
pub(crate) struct NoSuchCurve(pub(crate) Class);

#[derive(Debug, thiserror::Error)]
#[error("{0} active keys of class audit are registered, wanted one")]
pub(crate) struct NotOneAuditKey(pub(crate) usize);

#[derive(Debug, thiserror::Error)]
#[error("the roster is not text")]
pub(crate) struct NotUtf8;

#[derive(Debug, thiserror::Error)]
#[error("{} is not text", .0.display())]
pub(crate) struct NotPlain(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("only an activation takes a plan, this is another change of a key of class {0}")]
pub(crate) struct PlanForNothing(pub(crate) Class);

#[derive(Debug, thiserror::Error)]
#[error("a key that is {0} has no destruction to call off")]
pub(crate) struct NothingToCancel(pub(crate) State);

#[derive(Debug, thiserror::Error)]
#[error("the key lies in the token with serial {0}, which is not given")]
pub(crate) struct TokenMissing(pub(crate) String);

#[derive(Debug, thiserror::Error)]
#[error("{} is not an approval", path.display())]
pub(crate) struct NotAnApproval {
    pub(crate) path: PathBuf,
    pub(crate) source: Malformed,
}

#[derive(Debug, thiserror::Error)]
#[error("{} is not a request", path.display())]
pub(crate) struct NotARequest {
    pub(crate) path: PathBuf,
    pub(crate) source: Malformed,
}

#[derive(Debug, thiserror::Error)]
#[error("the request ended at {0}")]
pub(crate) struct RequestExpired(pub(crate) UnixTime);

#[derive(Debug, thiserror::Error)]
#[error("nothing was signed")]
pub(crate) struct NotConfirmed;

#[derive(Debug, thiserror::Error)]
#[error("{} is not a P-256 private key in PKCS#8 PEM", .0.display())]
pub(crate) struct NotAnOfficersKey(pub(crate) PathBuf);

#[derive(Debug, thiserror::Error)]
#[error("key file {} has mode {mode:04o}", path.display())]
pub(crate) struct KeyFileMode {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
}

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
    NotOneKey => failed "`obol-kms token show` lists the keys; give --spki when a label is there twice",
    NoSuchCurve => refused "this program makes keys for ECDSA",
    NotOneAuditKey => refused "`obol-kms keys list` shows them; give --spki",
    NotUtf8 => failed "a roster is TOML: [[officers]] with name and public_key, then [quorum]",
    NotPlain => failed "plans and fleets are TOML: docs/spec/key-registry.md section 7",
    PlanForNothing => refused "leave out --plan, --fleet and --no-fleet",
    InvalidPlan => failed "correct the plan: docs/spec/key-registry.md section 7 has an example",
    InvalidFleet => failed "correct the fleet: docs/spec/key-registry.md section 7 has an example",
    NothingToCancel => refused "`obol-kms keys show` says what state the key is in",
    TokenMissing => failed "give --token, so that the key is destroyed there as well",
    NotAnApproval => failed "give a file that `obol-kms officer approve` wrote",
    NotARequest => failed "give a file that `obol-kms keys request` wrote",
    RequestExpired => refused "ask for a new request",
    NotConfirmed => refused "sign only what you were told to expect, by another way than the file",
    NotAnOfficersKey => failed "give the file that `obol-kms officer keygen` wrote",
    KeyFileMode => failed "chmod 600 it, and make a new key if others could have read it",
    InvalidRoster => failed "correct the roster: [[officers]] with name and public_key, then [quorum]",
    InvalidSettings => failed "give a time in that range",
    InvalidLimits => failed "give --lifetime-uses in that range",
    Fault => failed "check the disk; `obol-kms keys examine` says whether the registry is sound",
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let help = match &error {
            OpenError::Missing(_) => "correct --registry, or make one with `obol-kms keys init`",
            OpenError::Exists(_) => "nothing was overwritten; choose another --registry",
            OpenError::Open { .. } => "check that the file is a registry and may be written",
            OpenError::Schema { .. } => "use the program that wrote it, or correct --registry",
            OpenError::Fault(_) => "restore the last backup with `obol-kms keys restore`",
        };
        Failure::failed(error, help)
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Failure {
        match error {
            RegisterError::Fault(fault) => fault.into(),
            RegisterError::Registered(_) => {
                Failure::refused(error, "`obol-kms keys show` says what is known of it")
            }
            RegisterError::Algorithm { .. } => Failure::refused(
                error,
                "give another --class, or make a key on the right curve",
            ),
            _ => Failure::refused(error, "the registry takes no such key"),
        }
    }
}

/// [`ChangeError::TooEarly`] with the time as people read it.
#[derive(Debug, thiserror::Error)]
#[error("key {spki} is {state} and cannot become {to} before {}", utc_text(until.0))]
struct NotBefore {
    spki: SpkiId,
    state: State,
    to: State,
    until: UnixTime,
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Failure {
        let help = match error {
            ChangeError::Fault(fault) => return fault.into(),
            ChangeError::TooEarly {
                spki,
                state,
                to,
                until,
            } => {
                let error = NotBefore {
                    spki,
                    state,
                    to,
                    until,
                };
                return Failure::refused(
                    error,
                    "wait until then: terminals and passengers are slower",
                );
            }
            ChangeError::Unknown(_) => "`obol-kms keys list` shows the keys; register it first",
            ChangeError::Overtaken { .. } => "look at the key again, then ask the officers again",
            ChangeError::NoWay { .. } | ChangeError::OtherWayBack { .. } => {
                "`obol-kms keys show` says where the key is; docs/spec/key-registry.md, where it can go"
            }
            ChangeError::CertificateMissing => "use `obol-kms keys certify`",
            ChangeError::Plan(ref refusal) => plan_help(refusal),
            ChangeError::Approval(_) => {
                "`obol-kms keys request` writes what officers sign with `obol-kms officer approve`"
            }
            ChangeError::Reason(_) => "give a shorter --reason, in one line",
        };
        Failure::refused(error, help)
    }
}

impl From<NotCleared> for Failure {
    fn from(error: NotCleared) -> Failure {
        let help = match error {
            NotCleared::Plan(error) => return error.into(),
            NotCleared::Fleet(error) => return error.into(),
            NotCleared::Stranded(_) => {
                "`obol-kms rotation simulate` names all; move the plan's times, or see to them first"
            }
            NotCleared::NothingToWaive => "leave out --waive",
        };
        Failure::refused(error, help)
    }
}

fn plan_help(refusal: &PlanRefusal) -> &'static str {
    match refusal {
        PlanRefusal::Missing(_) => {
            "give --plan and --fleet, or --no-fleet while no terminal is in service"
        }
        PlanRefusal::Uncalled { .. } => "leave out --plan, --fleet and --no-fleet",
        PlanRefusal::FleetInService { .. } => "give --plan and --fleet",
        PlanRefusal::NotCovered(_) | PlanRefusal::LeftOut { .. } => "add the key to the plan",
        PlanRefusal::Differs { .. } => {
            "correct the plan, simulate it again, and ask the officers again"
        }
        PlanRefusal::OutOfTime { .. } => "wait for the plan's time, or make a plan for now",
        PlanRefusal::FleetTime { .. } => "record the fleet again: it counts for 30 days",
    }
}

impl From<CertifyError> for Failure {
    fn from(error: CertifyError) -> Failure {
        match error {
            CertifyError::Change(error) => error.into(),
            _ => Failure::refused(error, "give the certificate of this key"),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        match error {
            BackupError::Fault(fault) => fault.into(),
            BackupError::Exists(_) => Failure::failed(
                error,
                "nothing was overwritten; move it away or choose another name",
            ),
            BackupError::Write { .. } => Failure::failed(error, "check the folder of --out"),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Failure {
        match error {
            RestoreError::Write(error) => error.into(),
            RestoreError::SameId(_) => Failure::failed(error, "run it again"),
            RestoreError::Backup(_) => {
                Failure::refused(error, "nothing was restored; take an earlier backup")
            }
        }
    }
}
