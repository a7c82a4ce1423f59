use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout},
};

use crate::{Ran, Scan, WorldError};

/// A running terminal with a scanner at its keyboard: one code in, one answer out.
#[derive(Debug)]
pub struct Scanner {
    child: Child,
    keys: ChildStdin,
    screen: BufReader<ChildStdout>,
}

impl Scanner {
    pub(crate) fn new(mut child: Child) -> Self {
        let keys = child.stdin.take().expect("stdin is piped");
        let screen = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            keys,
            screen,
        }
    }

    /// Types a boarding code and reads what the terminal says; the terminal goes on.
    ///
    /// # Errors
    /// When the terminal has ended, or says something that is no answer.
    pub fn type_code(&mut self, code: &str) -> Result<Scan, WorldError> {
        let mut said = String::new();
        writeln!(self.keys, "{code}")
            .and_then(|()| self.screen.read_line(&mut said))
            .map_err(|error| WorldError::new(format!("the terminal is gone: {error}")))?;
        Scan::of(&Ran {
            command: "obol-pos type".to_owned(),
            code: 0,
            stdout: said,
            stderr: String::new(),
        })
    }

    /// `kill -9`: no warning, no clean-up.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill(mut self) -> Result<(), WorldError> {
        let failed = |error: std::io::Error| WorldError::new(format!("cannot kill: {error}"));
        self.child.kill().map_err(failed)?;
        self.child.wait().map_err(failed)?;
        Ok(())
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
