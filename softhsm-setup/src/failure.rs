//! Every way in which the setup can fail, with what to do about it.

use std::path::PathBuf;

use miette::Diagnostic;
use obol_kms::{CallError, InitializeError, LoadError};

#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum SetupError {
    #[error("plan {} is not valid: {reason}", path.display())]
    #[diagnostic(help(
        "write tokens = [{{ name = \"root\" }}], names of a-z, 0-9 and -, each once"
    ))]
    Plan { path: PathBuf, reason: String },
    #[error("{} already holds a setup", .0.display())]
    #[diagnostic(help("choose another folder, or remove that one if its keys are not needed"))]
    Exists(PathBuf),
    #[error("the setup differs from the plan: {} {reason}", path.display())]
    #[diagnostic(
        code(refused),
        help(
            "nothing was changed; choose another folder, or remove that one if its keys are not needed"
        )
    )]
    Differs { path: PathBuf, reason: String },
    #[error("the tokens cannot be listed")]
    #[diagnostic(help("check that the library is SoftHSM's"))]
    Tokens(#[source] CallError),
    #[error("no SoftHSM library at {}", .0.display())]
    #[diagnostic(help("give the path of libsofthsm2.so to --module"))]
    ModulePath(PathBuf),
    #[error("no SoftHSM library in {}", .0.join(", "))]
    #[diagnostic(help(
        "install the package softhsm2, or give the path of libsofthsm2.so to --module"
    ))]
    NoModule(Vec<&'static str>),
    #[error("folder {} cannot be prepared", path.display())]
    #[diagnostic(help("check that the folder can be written"))]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("path {} has characters that SoftHSM's configuration cannot hold", .0.display())]
    #[diagnostic(help("choose a folder whose path is plain text without line breaks"))]
    PathText(PathBuf),
    #[error("the tokens were not initialised (exit {0})")]
    #[diagnostic(help("the lines above say why; nothing was left behind"))]
    Child(String),
    #[error("no random bytes: {0}")]
    #[diagnostic(help("the system's random generator does not answer"))]
    Random(String),
    #[error(transparent)]
    #[diagnostic(help("check that the library is SoftHSM's"))]
    Load(#[from] LoadError),
    #[error("token {name:?} cannot be initialised")]
    #[diagnostic(help("check that the folder can be written and the disk is not full"))]
    Initialise {
        name: String,
        source: InitializeError,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] obol_console::FileError),
}
