//! The demo as a person starts it: one command, one folder, Ctrl-C.

use std::{
    env, fs,
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::stage::eventually;

/// Every demo wants the same ports first, so only one test runs a demo at a time.
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    pub(crate) fn take() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.lock");
        let lock = File::create(path).unwrap();
        lock.lock().unwrap();
        Self { _lock: lock }
    }
}

/// A binary in `target/debug`, above this test's own folder.
pub(crate) fn binary(name: &str) -> PathBuf {
    let here = env::current_exe().unwrap();
    let debug = here.ancestors().nth(2).unwrap();
    let program = debug.join(name);
    assert!(
        program.exists(),
        "no {}: run cargo build --workspace --bins",
        program.display()
    );
    program
}

fn demo(folder: &Path) -> Command {
    let mut command = Command::new(binary("obol-demo"));
    command.arg("--dir").arg(folder).stdin(Stdio::null());
    command
}

pub(crate) fn once(folder: &Path) -> Output {
    demo(folder).arg("--once").output().unwrap()
}

pub(crate) fn held(output: &Output) -> (String, String) {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    (stdout, stderr)
}

/// The ports that the services of the demo in `folder` were told.
fn ports(folder: &Path) -> Vec<u16> {
    let mut ports = Vec::new();
    for file in ["issuer.toml", "platform.toml"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        for line in text
            .lines()
            .filter(|line| line.contains("listen = ") || line.contains("pay_url"))
        {
            let digits: String = line
                .rsplit("127.0.0.1:")
                .next()
                .unwrap()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            ports.push(digits.parse().unwrap());
        }
    }
    assert_eq!(ports.len(), 5, "{ports:?}");
    ports
}

/// Processes that run in `folder` or name it on their command line.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.canonicalize().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let at: PathBuf = entry.path();
        if !at
            .file_name()
            .unwrap()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
        {
            continue;
        }
        // A process may end while it is looked at; a dead one is nobody's.
        let (works_in, said) = (fs::read_link(at.join("cwd")), fs::read(at.join("cmdline")));
        let said = String::from_utf8_lossy(&said.unwrap_or_else(|_| Vec::new())).into_owned();
        let works_here = works_in.is_ok_and(|path| path.starts_with(&folder));
        if works_here || said.contains(&*folder.to_string_lossy()) {
            found.push(said.replace('\0', " "));
        }
    }
    found
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn nothing_runs(folder: &Path) {
    eventually("no process of the demo is left", || {
        processes_of(folder).is_empty()
    });
    for port in ports(folder) {
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let kind = refused.map(drop).map_err(|error| error.kind());
        assert_eq!(
            kind,
            Err(std::io::ErrorKind::ConnectionRefused),
            "port {port}"
        );
    }
}

#[test]
fn the_demo_holds_from_start_to_end() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    let (stdout, stderr) = held(&once(folder.path()));
    let steps: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("  ok "))
        .collect();
    assert!(steps.len() >= 36, "{stderr}");
    assert!(
        steps.iter().all(|step| step.contains(" s  ")),
        "each step has its time: {stderr}"
    );
    assert!(!stderr.contains("FAIL"), "{stderr}");
    assert!(
        stderr
            .lines()
            .last()
            .unwrap()
            .starts_with("The whole line held in "),
        "{stderr}"
    );
    let (statement, trial) = stdout.split_once("\n\n").unwrap();
    let last = |text: &str| {
        text.lines()
            .last()
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(last(statement), ["closing", "balance", "46.00"]);
    assert_eq!(last(trial.trim_end()), ["total", "54.00", "54.00", "0.00"]);
    nothing_runs(folder.path());
}

#[test]
fn a_rider_and_a_shard_are_refused_seconds_after_the_command_and_others_ride() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    let (_, stderr) = held(&once(folder.path()));
    let measured = "s from the operator's command to the refusal at the gate";
    for (step, what) in [
        ("Eve is revoked, and bus-1 refuses her: DENIED", measured),
        (
            "Ada's shard is blocked, and bus-2 refuses her: KEY_SUSPENDED",
            measured,
        ),
        // The platform marks wallets, the bus says what to do, and the phone renews.
        (
            "Ada's shard is blocked, and bus-2 refuses her: KEY_SUSPENDED",
            " wallets\n",
        ),
        ("the bus tells her what to do", "Open the app while online"),
        ("the bus tells her what to do", "请联网打开应用"),
    ] {
        let after = stderr
            .split(step)
            .nth(1)
            .unwrap_or_else(|| panic!("no {step}: {stderr}"));
        let after = after.split("  ok ").next().unwrap();
        assert!(after.contains(what), "{step}: {after}");
    }
    let marked = stderr.split("to renew  ").nth(1).unwrap();
    let marked: u32 = marked.split(' ').next().unwrap().parse().unwrap();
    assert!(marked > 0, "{stderr}");
    let renewed = "Ada's phone is online: a credential of the other shard, and she rides";
    let ok = stderr.lines().find(|line| line.contains(renewed)).unwrap();
    assert!(ok.starts_with("  ok "), "{ok}");
    // What terminals believe was signed by officers' keys and by those of the online token.
    let path = |name: &str| folder.path().join(name);
    for name in [
        "officers/root/1.root.json",
        "officers/targets/3.targets.json",
        "repository/metadata/timestamp.json",
        "bus-1/terminal.pem",
        "bus-1/trust/accepted-set",
        "bus-2/trust/accepted-set",
    ] {
        assert!(path(name).exists(), "{name}");
    }
    let suspended = fs::read_to_string(path("publisher/suspended")).unwrap();
    assert_eq!(suspended.lines().count(), 1, "{suspended}");
    assert!(!path("bus-1/trust-bundle.cbor").exists());
    assert!(!path("bus-1/fare-pack.cbor").exists());
    plans_are_held_against_what_the_buses_told(folder.path());
}

/// So long after a moment, both as TOML has them.
pub(crate) fn moment_after(moment: &str, after: &str) -> String {
    let then = format!("{moment} + {after}");
    let format = ["-u", "-d", &then, "+%Y-%m-%dT%H:%M:%SZ"];
    let date = Command::new("date").args(format).output().unwrap();
    String::from_utf8(date.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// The platform writes down how long its terminals heard nothing, and `obol-kms` reads it.
fn plans_are_held_against_what_the_buses_told(folder: &Path) {
    let run = |program: &str, arguments: &[&str]| {
        let program = binary(program);
        let mut command = Command::new(program);
        let output = command
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (code, stderr) = (output.status.code().unwrap(), text(output.stderr));
        (code, text(output.stdout), stderr)
    };
    let (code, fleet, stderr) = run("obol-platform", &["fleet", "--config", "platform.toml"]);
    assert_eq!((code, &*stderr), (0, ""), "{fleet}");
    fs::write(folder.join("fleet.toml"), &fleet).unwrap();
    let recorded = fleet.split("recorded = ").nth(1).unwrap();
    let recorded = recorded.lines().next().unwrap();
    let simulate = |activated_after: &str| {
        let moment = |after: &str| moment_after(recorded, after);
        let plan = format!(
            "schema = 1\nbegins = {recorded}\nends = {}\n\
             lives = {{ credential = '48h', certificate = '90d' }}\n\
             [[keys]]\nspki = '{}'\nclass = 'issuer'\npublished = {recorded}\n\
             activated = {}",
            moment("50 days"),
            "11".repeat(32),
            moment(activated_after)
        );
        fs::write(folder.join("plan.toml"), plan).unwrap();
        run(
            "obol-kms",
            &["rotation", "simulate", "plan.toml", "--fleet", "fleet.toml"],
        )
    };
    // A key that signs in the second in which it is published meets buses that cannot know it.
    let (code, stranded, stderr) = simulate("0 days");
    assert_eq!(code, 1, "{stderr}");
    for bus in ["bus-1", "bus-2"] {
        assert!(stranded.contains(bus), "{stranded}");
    }
    let (code, held, stderr) = simulate("1 day");
    assert_eq!(code, 0, "{held}{stderr}");
    assert!(held.contains("strands none of 2 terminals"), "{held}");
}

#[test]
fn ctrl_c_leaves_nothing_running() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    let mut child = demo(folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let waits = lines
        .by_ref()
        .map(Result::unwrap)
        .any(|line| line.starts_with("Everything still runs"));
    assert!(waits, "the demo ended by itself");
    // The demo, two key daemons, issuer, platform and bank.
    let running = processes_of(folder.path());
    assert!(running.len() >= 6, "{running:?}");
    for port in ports(folder.path()) {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    nothing_runs(folder.path());
}

#[test]
fn ctrl_c_between_two_steps_leaves_nothing_running() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    let mut child = demo(folder.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("issuer and platform are up") {
        line.clear();
        assert!(
            errors.read_line(&mut line).unwrap() > 0,
            "the demo ended by itself"
        );
    }
    interrupt(&child);
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("stopped\n"), "{rest}");
    nothing_runs(folder.path());
}

#[test]
fn a_second_demo_starts_clean() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    held(&once(folder.path()));
    let root = fs::read(folder.path().join("root.pem")).unwrap();
    fs::write(folder.path().join("bus-1/left-over"), "of the first").unwrap();
    let (stdout, _) = held(&once(folder.path()));
    assert_ne!(fs::read(folder.path().join("root.pem")).unwrap(), root);
    assert!(!folder.path().join("bus-1/left-over").exists());
    assert_eq!(stdout.matches("  recharge ").count(), 1, "{stdout}");
    assert_eq!(stdout.matches("  ride ").count(), 2, "{stdout}");
}

#[test]
fn a_folder_that_no_demo_made_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("thesis.txt");
    fs::write(&file, "ten years").unwrap();
    let output = once(folder.path());
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "error: {} is not an earlier demo's folder\nhelp: give an empty folder, or none: --dir\n",
        folder.path().display()
    );
    assert_eq!(said, expected);
    assert_eq!(fs::read_to_string(&file).unwrap(), "ten years");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_busy_port_picks_another() {
    let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
    let usual = [8443, 8444, 8445, 8446, 8447, 8448];
    // Whoever holds a usual port already makes it as busy as this test would.
    let _busy = usual.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    held(&once(folder.path()));
    let ports = ports(folder.path());
    assert!(ports.iter().all(|port| !usual.contains(port)), "{ports:?}");
}
