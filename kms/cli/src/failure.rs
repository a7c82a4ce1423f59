//! What a command says when it fails: the library's error, and what to do about it.

pub(crate) mod audit;
pub(crate) mod ceremony;
pub(crate) mod registry;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use miette::Diagnostic;
use obol_kms::daemon::{SocketError, StartError};
use obol_kms::engine::OpenEngineError;
use obol_kms::worker::{StartFailure, WorkerStartError};
use obol_kms::x509::{
    CertificateError, InvalidScope, IssuerCertificateError, NotACertificate, RequestError,
};
use obol_kms::{CallError, ConfigError, FindError, GenerateError, LoadError, OpenError, PoolError};
use obol_kms_audit::OpenError as LogError;

/// An error with its advice. Refusals of what was asked exit with 1, everything else with 2; a daemon
/// that does not start because of a token has exit codes of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    help: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refused,
    Failed,
    /// Of a daemon's start: a token refused its PIN.
    PinRefused,
    /// Of a daemon's start: a token is not there, or does not answer.
    TokenAway,
}

impl Failure {
    fn failed(error: impl Error + Send + Sync + 'static, help: &'static str) -> Failure {
        Failure {
            error: Box::new(error),
            help,
            kind: Kind::Failed,
        }
    }

    pub(crate) fn refused(
        error: impl Error + Send + Sync + 'static,
        help: &'static str,
    ) -> Failure {
        Failure {
            error: Box::new(error),
            help,
            kind: Kind::Refused,
        }
    }

    /// The exit code, where it is another than every command's; `Serve`'s help and the unit name
    /// them.
    pub(crate) fn exit_code(&self) -> Option<ExitCode> {
        match self.kind {
            Kind::Refused | Kind::Failed => None,
            Kind::PinRefused => Some(ExitCode::from(3)),
            Kind::TokenAway => Some(ExitCode::from(4)),
        }
    }

    /// Any error that needs no more than one advice.
    pub(crate) fn with_help(
        error: impl Error + Send + Sync + 'static,
        help: &'static str,
    ) -> Failure {
        Failure::failed(error, help)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl Diagnostic for Failure {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        match self.kind {
            Kind::Refused => Some(Box::new("refused::kms")),
            Kind::Failed | Kind::PinRefused | Kind::TokenAway => Some(Box::new("failed::kms")),
        }
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.help))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let help = match &error {
            ConfigError::Read { .. } => "check the path and that this user may read the file",
            ConfigError::TooLong(_) => "give the right file",
            ConfigError::Syntax { .. } => {
                "the keys it must hold are in the README; no others are allowed"
            }
            ConfigError::Range { .. } => "correct the value",
            ConfigError::PinMode { .. } => {
                "chmod 600 it, and change the PIN if others could have read it"
            }
            ConfigError::PinShape(_) => {
                "there must be the PIN alone, with at most one newline after it"
            }
            ConfigError::NoCredentials(_) => {
                "start it with systemd's LoadCredential=, or give pin-source=file:PATH"
            }
            ConfigError::Prompt(_) => "run it in a terminal, or give pin-source=file:PATH",
            ConfigError::Uri(_) => {
                "pkcs11:token=LABEL;serial=SERIAL?module-path=PATH&pin-source=file:PATH"
            }
        };
        Failure::failed(error, help)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        let help = match &error {
            LoadError::Missing(_) => {
                "install the PKCS#11 module (for development the package softhsm2), or correct `module` in the token file"
            }
            LoadError::NotAModule { .. } => {
                "correct `module` in the token file: it names the vendor's PKCS#11 library"
            }
            LoadError::AlreadyLoaded(_) => "give one path to the module in all token files",
            LoadError::Initialize { .. } => {
                "check the module's own configuration; SoftHSM reads the file in SOFTHSM2_CONF"
            }
        };
        Failure::failed(error, help)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let help = match error {
            OpenError::Pin(error) => return error.into(),
            OpenError::NoSuchToken { .. } => {
                "connect the token, or correct label and serial in the token file; for SoftHSM set SOFTHSM2_CONF to the configuration it was made with"
            }
            OpenError::Ambiguous { .. } => {
                "disconnect the copy: a token must be the only one of its label and serial"
            }
            OpenError::WrongPin { .. } => {
                "correct the PIN file before the next try: tokens lock after a few wrong PINs"
            }
            OpenError::Demanded(_) => KEY_HELP,
            OpenError::Call(_) => CALL_HELP,
        };
        Failure::failed(error, help)
    }
}

const CALL_HELP: &str = "look the return value up in the token vendor's manual";

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::failed(error, CALL_HELP)
    }
}

const AWAY_HELP: &str = "check that the token is connected and run it again";

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Failure {
        let help = match &error {
            PoolError::Outage(_) => AWAY_HELP,
            PoolError::Busy { .. } => "run it again when the token is less busy",
            PoolError::Call(_) => CALL_HELP,
        };
        Failure::failed(error, help)
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Failure {
        let help = match &error {
            GenerateError::Label(_) => "choose another --key-label",
            GenerateError::LabelTaken(_) => {
                "choose another --key-label; `obol-kms token show` lists the keys"
            }
            GenerateError::Unfit(_) | GenerateError::Point(_) => {
                "the token does not keep keys as demanded; it cannot be used for this"
            }
            GenerateError::Outage(_) => AWAY_HELP,
            GenerateError::Find(_) | GenerateError::Call(_) => CALL_HELP,
        };
        Failure::failed(error, help)
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Failure {
        Failure::failed(error, KEY_HELP)
    }
}

const KEY_HELP: &str =
    "`obol-kms token show` lists the token's keys; give the token that holds this one";

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Failure {
        match error {
            CertificateError::Request(error) => error.into(),
            CertificateError::Key(error) => error.into(),
            CertificateError::Outlives { .. } => Failure::refused(error, "give fewer --days"),
            CertificateError::Days(_) => Failure::failed(error, "give --days in that range"),
            CertificateError::CommonName(_) => Failure::failed(error, "give another --common-name"),
            CertificateError::NotThisAuthority(_) => Failure::refused(
                error,
                "give the certificate that `root create` or `access-ca create` wrote",
            ),
            CertificateError::Sign(_)
            | CertificateError::Random(_)
            | CertificateError::Throwaway => Failure::failed(error, CALL_HELP),
            CertificateError::Lint(_) => Failure::refused(
                error,
                "change what was asked for; policies/lints.toml says what each rule wants",
            ),
            CertificateError::LintAfterwards(_) | CertificateError::NotAsRehearsed => {
                Failure::failed(
                    error,
                    "keep this report: the tool has a fault, or the token",
                )
            }
            CertificateError::Encoding(_) => Failure::failed(error, "check the names given"),
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        let help = match &error {
            RequestError::NotARequest => {
                "give a PEM file that begins with BEGIN CERTIFICATE REQUEST"
            }
            RequestError::Role { .. } => {
                "terminals take --profile terminal, services server or client"
            }
            RequestError::NotAServer => {
                "use --profile server, or leave DNS names and addresses out"
            }
            _ => "make a new request: a P-256 key and one URI name obol://ROLE/NAME",
        };
        Failure::refused(error, help)
    }
}

impl From<InvalidScope> for Failure {
    fn from(error: InvalidScope) -> Failure {
        Failure::failed(error, "correct --operator or --classes")
    }
}

impl From<NotACertificate> for Failure {
    fn from(error: NotACertificate) -> Failure {
        Failure::failed(error, "give a PEM file with one certificate")
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        let kind = Kind::of_start(&error);
        let advised = Failure::of_start(error);
        Failure { kind, ..advised }
    }
}

impl Kind {
    fn of_start(error: &StartError) -> Kind {
        match error {
            StartError::Worker(WorkerStartError::NotOpened { kind, .. }) => match kind {
                StartFailure::Pin => Kind::PinRefused,
                StartFailure::Token => Kind::TokenAway,
                StartFailure::Config | StartFailure::Module | StartFailure::Key => Kind::Failed,
            },
            _ => Kind::Failed,
        }
    }
}

impl Failure {
    fn of_start(error: StartError) -> Failure {
        let help = match error {
            StartError::Config(error) => return error.into(),
            StartError::Registry(error) => return error.into(),
            StartError::Fault(error) => return error.into(),
            StartError::Policy(_) => {
                "correct the folder in `policy`, or leave it out for the built-in set"
            }
            StartError::Load(error) => return error.into(),
            StartError::Open(error) => return error.into(),
            StartError::Engine(error) => return error.into(),
            StartError::Key(_) => KEY_HELP,
            StartError::Worker(error) => return error.into(),
            StartError::Socket(SocketError::InUse(_)) => {
                "stop the other daemon, or choose another `socket`"
            }
            StartError::Socket(_) => "check that the folder of `socket` exists and can be written",
            StartError::Threads(_) => "lower `sessions`, or raise the limit of processes",
        };
        Failure::failed(error, help)
    }
}

impl From<IssuerCertificateError> for Failure {
    fn from(error: IssuerCertificateError) -> Failure {
        Failure::refused(
            error,
            "only certificates from `issuer create` let a key sign credentials",
        )
    }
}

impl From<OpenEngineError> for Failure {
    fn from(error: OpenEngineError) -> Failure {
        let help = match error {
            OpenEngineError::Registry(error) => return error.into(),
            OpenEngineError::Witnessed(error) => return error.into(),
            OpenEngineError::TwoTokens(_) => "name each token once in `tokens`",
            OpenEngineError::NoAuditKey => {
                "make one with `obol-kms keys generate --class audit`, publish and activate it"
            }
            OpenEngineError::ManyAuditKeys(_) | OpenEngineError::NotAnAuditKey(_) => {
                "give the SPKI id of one of them as `key` in [audit]; `obol-kms keys list` shows them"
            }
            OpenEngineError::Origin(_) => "give a URL without scheme as `origin` in [audit]",
            OpenEngineError::Log { ref source, .. } => match source {
                LogError::InUse => "stop the other daemon: a log has one writer",
                LogError::Io(_) => {
                    "make the folder of `folder` in [audit] (mkdir -m 700), empty for a new log"
                }
                _ => "keep the folder as it is; `obol-kms audit verify` says what is wrong with it",
            },
        };
        Failure::failed(error, help)
    }
}

impl From<WorkerStartError> for Failure {
    fn from(error: WorkerStartError) -> Failure {
        let help = match &error {
            WorkerStartError::NotOpened { kind, .. } => match kind {
                StartFailure::Config => "correct the token file or its PIN file",
                StartFailure::Module => {
                    "check `module` in the token file and the module's own configuration"
                }
                StartFailure::Token => {
                    "connect the token, or correct label and serial in the token file; for SoftHSM set SOFTHSM2_CONF to the configuration it was made with"
                }
                StartFailure::Pin => {
                    "correct the PIN file before the next try: tokens lock after a few wrong PINs"
                }
                StartFailure::Key => KEY_HELP,
            },
            WorkerStartError::Spawn { .. } | WorkerStartError::Broken(_) => {
                "the lines above are the worker's own"
            }
        };
        Failure::failed(error, help)
    }
}

impl From<crate::serve::metrics::CannotListen> for Failure {
    fn from(error: crate::serve::metrics::CannotListen) -> Failure {
        Failure::failed(error, "choose another `metrics`, or leave it out")
    }
}

impl From<obol_console::FileError> for Failure {
    fn from(error: obol_console::FileError) -> Failure {
        let help = match &error {
            obol_console::FileError::Exists { .. } => {
                "nothing was overwritten; choose another --out or move that file away"
            }
            _ => "check the path and its permissions",
        };
        Failure::failed(error, help)
    }
}
