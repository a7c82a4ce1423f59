//! Power goes at the worst moment.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Child;
use std::thread;
use std::time::Duration;

use crate::world::{INITIALS, PIN, Ready, World, text};

/// What is typed again after an interruption: the PIN, then initials for what is left. More lines
/// than are read do no harm.
fn rest() -> String {
    format!("{PIN}\n{}", INITIALS.repeat(3))
}

fn events(world: &World, ready: &Ready) -> usize {
    let path = world.path(&format!("{}.bundle/transcript", ready.name));
    let bytes = fs::read(path).unwrap_or_default();
    let (mut at, mut count) = (0, 0);
    while let Some(prefix) = bytes.get(at..at + 4) {
        at += 4 + u32::from_be_bytes(prefix.try_into().unwrap()) as usize;
        count += usize::from(at <= bytes.len());
    }
    count
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Waits until `done` holds, or the child has ended.
fn until(child: &mut Child, done: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if done() || child.try_wait().unwrap().is_some() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("nothing has happened for a minute");
}

#[test]
fn a_ceremony_that_is_killed_after_any_event_is_resumed_and_its_bundle_holds() {
    // opened, begun 1, done 1, begun 2, done 2, closed
    for reached in 1..=5 {
        let world = World::with_root_token();
        let ready = world.root_ready();
        let mut child = world.command("offline", &ready.command()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // As far as this event, and no further: the next answer is not given.
        let answers = 2 + 2 * (reached - 1);
        for line in world.typed(&ready).lines().take(answers) {
            writeln!(stdin, "{line}").unwrap();
        }
        until(&mut child, || events(&world, &ready) >= reached);
        kill(child);
        assert!(events(&world, &ready) >= reached.min(5));
        world.done("offline", &ready.resume(), &rest());
        let shown = world.holds("root-generation.bundle");
        assert!(
            shown.contains("interrupted, and resumed"),
            "{reached}: {shown}"
        );
        assert_eq!(
            world.keys("offline", "root"),
            ["root"],
            "one key, whenever it was killed"
        );
    }
}

#[test]
fn a_step_that_was_done_and_not_recorded_is_adopted_and_not_done_twice() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let mut child = world.command("offline", &ready.command()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // PIN, clock, both steps begun, the first initialled as done; the second not.
    for line in world.typed(&ready).lines().take(8) {
        writeln!(stdin, "{line}").unwrap();
    }
    let root = world.path("root-generation.bundle/outputs/root.pem");
    until(&mut child, || root.exists());
    kill(child);
    let made = fs::read(&root).unwrap();
    world.done("offline", &ready.resume(), &rest());
    assert_eq!(
        fs::read(&root).unwrap(),
        made,
        "no second certificate was signed"
    );
    let shown = world.holds("root-generation.bundle");
    assert!(
        shown.contains("the step was done when the ceremony was interrupted"),
        "{shown}"
    );
}

#[test]
fn an_event_that_was_cut_short_is_cut_off_and_the_ceremony_goes_on() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let typed = world.typed(&ready);
    let part: String = typed
        .lines()
        .take(6)
        .map(|line| format!("{line}\n"))
        .collect();
    let (error, help) = world.refused("offline", &ready.command(), &part);
    assert!(error.starts_with("nobody answered"), "{error}");
    assert!(help.ends_with("a ceremony that had begun is continued by `ceremony resume`"));
    let path = world.path("root-generation.bundle/transcript");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0, 0, 1, 0, 0x83, 0x58]);
    fs::write(&path, bytes).unwrap();
    world.done("offline", &ready.resume(), &rest());
    world.holds("root-generation.bundle");
}

#[test]
fn a_file_that_was_cut_short_is_cleared_away_and_the_ceremony_goes_on() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let typed = world.typed(&ready);
    let part: String = typed
        .lines()
        .take(6)
        .map(|line| format!("{line}\n"))
        .collect();
    world.refused("offline", &ready.command(), &part);
    // As a kill leaves them, within the write of an output and of what holds at the end.
    for folder in ["", "outputs/", "tokens/"] {
        let path = world.path(&format!("root-generation.bundle/{folder}.HhFEYr.part"));
        fs::write(path, b"half a").unwrap();
    }
    world.done("offline", &ready.resume(), &rest());
    world.holds("root-generation.bundle");
}

#[test]
fn a_bundle_that_was_changed_meanwhile_is_not_resumed() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let part: String = world
        .typed(&ready)
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    world.refused("offline", &ready.command(), &part);
    let plan = world.path("root-generation.bundle/plan.toml");
    let other = fs::read_to_string(&plan).unwrap().replace("7300", "7301");
    fs::write(&plan, other).unwrap();
    let (error, _) = world.refused("offline", &ready.resume(), &rest());
    assert_eq!(
        error,
        "the files of root-generation.bundle are not those that the ceremony began with"
    );
    assert!(world.keys("offline", "root").is_empty());
}

#[test]
fn a_disk_that_is_full_stops_the_ceremony_before_the_step_and_it_is_resumed_later() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    // No file may grow above this, as on a disk that is full; the signal is ignored, so that the
    // write fails. Exceptions fill it.
    let limit = world.read("root-generation.rehearsal/transcript").len() / 1024 + 2;
    let typed = world
        .typed(&ready)
        .replacen("alice", &"! and so on\n".repeat(40), 1);
    let program = env!("CARGO_BIN_EXE_obol-kms");
    let script = format!(
        "trap '' XFSZ; ulimit -f {limit}; exec {program} {}",
        ready.command()
    );
    let mut child = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(world.path(""))
        .env("SOFTHSM2_CONF", world.path("offline/softhsm2.conf"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).ok();
    let mut shown = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_to_string(&mut shown)
        .unwrap();
    assert!(!child.wait().unwrap().success(), "{shown}");
    let last = shown.lines().rev().nth(1).unwrap();
    assert!(last.contains("error: cannot write"), "{shown}");
    world.done("offline", &ready.resume(), &rest());
    world.holds("root-generation.bundle");
    assert_eq!(world.keys("offline", "root"), ["root"]);
}

#[test]
fn no_pin_and_no_share_is_in_the_bundle_or_on_the_command_line() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let mut child = world.command("offline", &ready.command()).spawn().unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(world.typed(&ready).as_bytes()).unwrap();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .collect();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let has_pin = |bytes: &[u8]| bytes.windows(PIN.len()).any(|part| part == PIN.as_bytes());
    assert!(!has_pin(&arguments) && !has_pin(&environment) && !has_pin(&output.stderr));
    assert!(
        lines
            .into_iter()
            .all(|line| !has_pin(line.unwrap().as_bytes()))
    );
    for name in [
        "transcript",
        "plan.toml",
        "rehearsal.transcript",
        "outputs/root.pem",
    ] {
        let bytes = world.read(&format!("root-generation.bundle/{name}"));
        assert!(!has_pin(&bytes), "{name}");
    }
    assert!(!text(&world.read("root.token.toml")).contains(PIN));
}
