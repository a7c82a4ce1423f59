use std::path::PathBuf;

/// The store failed; what was asked was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// SQLite answered with an error.
    #[error("{doing} failed")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// A row holds what this program never writes.
    #[error("the registry's file is damaged: {0}")]
    Damaged(String),
}

/// Why a registry could not be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file.
    #[error("there is no registry at {}", .0.display())]
    Missing(PathBuf),
    /// The file exists, and a new registry overwrites nothing.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The file cannot be opened or made.
    #[error("{} cannot be opened as a registry", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// SQLite's or the system's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is a database of something else, or of a newer program.
    #[error("{} has schema {found}, this program knows 1 to {known}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// What it holds is damaged.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Says what was being done when SQLite failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, Fault>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, Fault> {
        self.map_err(|source| Fault::Sql { doing, source })
    }
}
