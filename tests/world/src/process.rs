use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const READY_WITHIN: Duration = Duration::from_secs(60);
const LOG_TAIL_LINES: usize = 20;

/// What went wrong while a world was built or used.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct WorldError {
    what: String,
}

impl WorldError {
    /// An error with this text.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// One of the shipped binaries, with the folder and the environment it runs in.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
    folder: PathBuf,
    wrapper: Vec<String>,
    variables: Vec<(String, PathBuf)>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Tool {
    /// The binary `name` from the folder this program was built into, run in `folder`.
    pub(crate) fn new(name: &str, folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self {
            program: binaries().join(name),
            folder,
            wrapper: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The same, with this variable in its environment, the last of a name being the one that counts.
    pub(crate) fn with(mut self, name: &str, value: &Path) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, with these variables.
    pub(crate) fn with_all(mut self, variables: &[(String, PathBuf)]) -> Self {
        self.variables.extend_from_slice(variables);
        self
    }

    /// The same, run by `wrapper` (a command that runs the command that follows it).
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Another shipped binary in the same folder.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self::new(name, &self.folder)
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// When the program cannot be started; its exit code is the caller's to judge.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Ran, WorldError> {
        self.run_with_input(arguments, b"")
    }

    /// Runs to the end with `input` on standard input.
    ///
    /// # Errors
    /// As for [`Tool::run`].
    pub fn run_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        input: &[u8],
    ) -> Result<Ran, WorldError> {
        let mut command = self.command(arguments);
        let line = format!("{command:?}");
        let failed = |error| WorldError::new(format!("cannot run {line}: {error}"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        // A program that refuses its input early closes the pipe: that is its answer, not ours.
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().map_err(failed)?;
        drop(writer.join());
        Ok(Ran {
            command: line,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs to the end and demands exit code 0.
    ///
    /// # Errors
    /// When it cannot be started or ends with another code: the error has its words.
    pub fn succeed<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Ran, WorldError> {
        self.succeed_with_input(arguments, b"")
    }

    /// The same with `input` on standard input.
    ///
    /// # Errors
    /// As for [`Tool::succeed`].
    pub fn succeed_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        input: &[u8],
    ) -> Result<Ran, WorldError> {
        let ran = self.run_with_input(arguments, input)?;
        if ran.code == 0 {
            Ok(ran)
        } else {
            Err(ran.unexpected())
        }
    }

    /// Starts a service and waits for its line `ready ADDRESS`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn serve<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        log: PathBuf,
    ) -> Result<Service, WorldError> {
        let mut command = self.command(arguments);
        let line = format!("{command:?}");
        let failed = |error| WorldError::new(format!("cannot start {line}: {error}"));
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut service = Service {
            child,
            stdin,
            address: String::new(),
            log,
        };
        service.address = ready_line(stdout)
            .and_then(|line| {
                line.strip_prefix("ready ")
                    .map(|address| address.trim().to_owned())
            })
            .ok_or_else(|| {
                WorldError::new(format!(
                    "{line} did not become ready\n{}",
                    service.log_tail()
                ))
            })?;
        Ok(service)
    }

    /// Starts a program that answers on standard output what it is told on standard input.
    pub(crate) fn interactive<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
    ) -> Result<Child, WorldError> {
        let mut command = self.command(arguments);
        let line = format!("{command:?}");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| WorldError::new(format!("cannot start {line}: {error}")))
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut words = self
            .wrapper
            .iter()
            .map(OsStr::new)
            .chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program is there"));
        command
            .args(words)
            .args(arguments)
            .current_dir(&self.folder);
        command.env("RUST_LOG", "info").env_remove("RUST_BACKTRACE");
        let variables = self.variables.iter();
        command.envs(variables.map(|(name, value)| (name, value)));
        command
    }
}

impl Ran {
    /// This ending as an error, with the command's own words.
    #[must_use]
    pub fn unexpected(&self) -> WorldError {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        WorldError::new(format!("{command} ended with {code}\n{stdout}{stderr}"))
    }
}

/// A running service. It ends when its standard input closes, so that nothing outlives the
/// world, not even a world that was killed.
#[derive(Debug)]
pub struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    address: String,
    log: PathBuf,
}

impl Service {
    /// Where it listens, as it says itself.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("no log: {error}"))
    }

    /// Asks it to stop and waits.
    ///
    /// # Errors
    /// When it does not end with exit code 0.
    pub fn stop(mut self) -> Result<(), WorldError> {
        drop(self.stdin.take());
        let status = self
            .child
            .wait()
            .map_err(|error| WorldError::new(error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        Err(WorldError::new(format!(
            "a service ended with {status}\n{}",
            self.log_tail()
        )))
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

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It was asked to stop; whoever is still there after `stop` or in a panic is ended.
        let gone = matches!(self.child.try_wait(), Ok(Some(_)));
        if !gone && self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// The line in which a service says that it is ready; it may name other doors before.
fn ready_line(stdout: BufReader<impl std::io::Read + Send + 'static>) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut lines = stdout.lines();
        let ready = |line: &String| line.starts_with("ready ");
        if let Some(line) = lines.by_ref().map_while(Result::ok).find(ready) {
            drop(sender.send(line));
        }
        // Whatever else a service prints is read away, so that it never blocks on a full pipe.
        lines.for_each(drop);
    });
    receiver.recv_timeout(READY_WITHIN).ok()
}

/// Where cargo puts binaries: beside the demo, or one above the tests' `deps`.
///
/// # Panics
/// When this program does not lie in a folder of cargo's.
#[must_use]
pub fn binaries() -> PathBuf {
    let executable = std::env::current_exe().expect("a running program has a path");
    let folder = executable.parent().expect("a file has a folder");
    let above = folder.parent().expect("target/debug has a parent");
    if folder.ends_with("deps") {
        above.to_owned()
    } else {
        folder.to_owned()
    }
}
