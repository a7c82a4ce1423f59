//! The generator as a process of its own, as the one who starts it sees it.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use obol_transport::IdentityError;
use thiserror::Error;

use crate::plan::{Plan, Report};

/// Why there is no report.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The client's files are not good.
    #[error("the client's certificate or key, or its trust anchor")]
    Identity(#[from] IdentityError),
    /// The process or its files.
    #[error("the generator {}: {source}", .program.display())]
    Process {
        /// Its binary.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A generator that has everything ready and waits for the sign to begin.
#[derive(Debug)]
pub struct Generator {
    program: PathBuf,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Generator {
    /// Starts the binary `obol-load` in `binaries` and waits until its requests are made; the plan
    /// is handed over as a file in `folder`.
    ///
    /// # Errors
    /// When it does not get so far.
    pub fn prepare(binaries: &Path, folder: &Path, plan: &Plan) -> Result<Generator, LoadError> {
        let program = binaries.join("obol-load");
        let prepare = || {
            let process = std::process::id();
            let file = tempfile_name(folder, process);
            std::fs::write(&file, serde_json::to_vec(plan)?)?;
            let mut child = Command::new(&program)
                .arg(&file)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let gone = || io::Error::other("its standard streams are not there");
            let stdin = child.stdin.take().ok_or_else(gone)?;
            let stdout = BufReader::new(child.stdout.take().ok_or_else(gone)?);
            Ok((child, stdin, stdout))
        };
        let (child, stdin, stdout) = prepare().map_err(|source| LoadError::Process {
            program: program.clone(),
            source,
        })?;
        let mut generator = Generator {
            program,
            child,
            stdin,
            stdout,
        };
        match generator.line()?.as_str() {
            "ready" => Ok(generator),
            other => Err(generator.failed(format!("{other:?} instead of \"ready\""))),
        }
    }

    /// Gives the sign.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn begin(&mut self) -> Result<(), LoadError> {
        let said = writeln!(self.stdin, "begin").and_then(|()| self.stdin.flush());
        said.map_err(|error| self.failed(error))
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the report.
    ///
    /// # Errors
    /// When the process ends without.
    pub fn report(mut self) -> Result<Report, LoadError> {
        let line = self.line()?;
        let report = serde_json::from_str(&line).map_err(|error| self.failed(error))?;
        let status = self.child.wait().map_err(|error| self.failed(error))?;
        if status.success() {
            Ok(report)
        } else {
            Err(self.failed(status.to_string()))
        }
    }

    fn line(&mut self) -> Result<String, LoadError> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line);
        read.map_err(|error| self.failed(error))?;
        Ok(line.trim_end().to_owned())
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LoadError {
        LoadError::Process {
            program: self.program.clone(),
            source: io::Error::other(error),
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        let gone = matches!(self.child.try_wait(), Ok(Some(_)));
        if !gone && self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

fn tempfile_name(folder: &Path, process: u32) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("load-{process}-{number}.json"))
}
