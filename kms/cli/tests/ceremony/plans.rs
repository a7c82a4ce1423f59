//! Every committed plan runs, and is killed at each of its questions and resumed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::sites::{spki_of, targets};
use crate::world::{INITIALS, PIN, Ready, World};

/// A committed plan: its name, site, tokens and files.
type Committed = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const AUTHORITIES: [Committed; 5] = [
    ("root-generation", "offline", &["root"], &[]),
    ("access-key-request", "online", &["access"], &[]),
    (
        "access-ca",
        "offline",
        &["root"],
        &["root.pem", "access.csr"],
    ),
    (
        "access-install",
        "online",
        &["access"],
        &["access.csr", "access.pem", "root.pem"],
    ),
    ("first-revocation-list", "offline", &["root"], &["root.pem"]),
];
const ISSUERS: [Committed; 6] = [
    ("issuer-key-request", "online", &["issuer"], &[]),
    (
        "issuer-certificate",
        "offline",
        &["root"],
        &["root.pem", "issuer-1.csr"],
    ),
    (
        "issuer-install",
        "online",
        &["issuer"],
        &["issuer-1.csr", "issuer-1.pem", "root.pem"],
    ),
    (
        "issuer-rotation",
        "offline",
        &["root"],
        &["root.pem", "issuer-2.csr", "issuer-1.pem"],
    ),
    (
        "revocation-list",
        "offline",
        &["root"],
        &["root.pem", "root-1.crl", "issuer-1.pem"],
    ),
    ("key-destruction", "online", &["issuer"], &[]),
];
const OTHERS: [Committed; 7] = [
    ("audit-key-request", "online", &["audit"], &[]),
    ("tuf-key-request", "offline", &["targets"], &[]),
    ("tuf-root", "offline", &["tuf-alice"], &["root-1.json"]),
    (
        "tuf-root-rotation",
        "offline",
        &["tuf-alice"],
        &["root-2.json"],
    ),
    (
        "tuf-targets",
        "offline",
        &["targets"],
        &["targets-1.json", "targets-2.json", "targets-3.json"],
    ),
    (
        "emergency-block",
        "offline",
        &["targets"],
        &["targets-1001.json"],
    ),
    ("roster-change", "offline", &[], &["roster-2.toml"]),
];

#[test]
fn every_committed_plan_is_one_that_these_tests_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/ceremonies");
    let files = fs::read_dir(folder).unwrap();
    let committed: BTreeSet<_> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let run = AUTHORITIES.iter().chain(&ISSUERS).chain(&OTHERS);
    let run: BTreeSet<_> = run.map(|(name, ..)| format!("{name}.toml")).collect();
    assert_eq!(run, committed);
}

#[test]
fn plans_of_authorities_run_whenever_they_are_killed() {
    let world = World::with_root_token();
    world.token("online", "access");
    for plan in AUTHORITIES {
        world.hold_killed(plan, |text| text);
    }
}

#[test]
fn plans_of_issuers_run_whenever_they_are_killed() {
    let world = World::with_root_token();
    world.token("online", "issuer");
    world.hold("root-generation", "offline", &["root"], &[]);
    world.hold("first-revocation-list", "offline", &["root"], &["root.pem"]);
    for plan in ISSUERS {
        if plan.0 == "issuer-rotation" {
            let text = fs::read_to_string(world.template("issuer-key-request")).unwrap();
            let text = text
                .replace("issuer-1", "issuer-2")
                .replace("Issuer 1", "Issuer 2");
            let ready = world.ready_of(&text, "request-2", "online", &["issuer"], &[]);
            world.hold_ready(&ready, "online");
        }
        world.hold_killed(plan, |text| match plan.0 {
            "key-destruction" => text.replace(&"0".repeat(64), &spki_of(&world, "issuer-1")),
            _ => text,
        });
    }
}

#[test]
fn plans_of_trust_roster_and_audit_log_run_whenever_they_are_killed() {
    let world = World::new();
    world.token("online", "audit");
    world.token("offline", "targets");
    crate::sites::tuf_key(&world, "tuf-alice", "tuf-root-alice");
    for version in [1, 2, 3, 1001] {
        targets(&world, version);
    }
    crate::sites::tuf_root(&world, 1);
    crate::sites::tuf_root(&world, 2);
    world.roster("roster-2.toml", &["alice", "bob", "dave"], &["wendy"]);
    for plan in OTHERS {
        world.hold_killed(plan, |text| text);
    }
}

impl World {
    /// Runs a plan to its end; before, copies of this world run it and are killed at each question.
    fn hold_killed(&self, plan: Committed, change: impl FnOnce(String) -> String) {
        let (name, site, tokens, inputs) = plan;
        let text = change(fs::read_to_string(self.template(name)).unwrap());
        let ready = self.ready_of(&text, name, site, tokens, inputs);
        let questions = self.typed(&ready).lines().count();
        for asked in 0..questions {
            let copy = self.copy();
            copy.kill_at(&ready, site, asked);
            let resume = format!(
                "{}{}",
                format!("{PIN}\n").repeat(tokens.len()),
                INITIALS.repeat(self.steps(name) + 1)
            );
            match copy.path(&format!("{name}.bundle")).exists() {
                true => copy.done(site, &ready.resume(), &resume),
                false => copy.done(site, &ready.command(), &copy.typed(&ready)),
            };
            copy.holds(&format!("{name}.bundle"));
        }
        let bundle = self.hold_ready(&ready, site);
        self.holds(&bundle);
    }

    /// Runs what is ready up to the question after `asked` answers, and kills it there.
    fn kill_at(&self, ready: &Ready, site: &str, asked: usize) {
        let mut child = self.command(site, &ready.command()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for line in self.typed(ready).lines().take(asked) {
            writeln!(stdin, "{line}").unwrap();
        }
        wait_for_question(&mut child, asked + 1);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The same world in another folder.
    fn copy(&self) -> World {
        let copy = World::empty();
        copy_folder(&self.path(""), &copy.path(""));
        for site in ["offline", "online", "rehearsals"] {
            copy.configure(site);
        }
        copy
    }
}

fn wait_for_question(child: &mut Child, number: usize) {
    let shown = Arc::new(Mutex::new(String::new()));
    let mut stderr = child.stderr.take().unwrap();
    let sink = Arc::clone(&shown);
    let reader = thread::spawn(move || {
        let mut part = [0; 1024];
        while let Ok(length @ 1..) = stderr.read(&mut part) {
            let text = String::from_utf8_lossy(&part[..length]).into_owned();
            sink.lock().unwrap().push_str(&text);
        }
    });
    for _ in 0..120_000 {
        let questions = ["tried once:", "Type yes:", "to initial:"];
        let shown = shown.lock().unwrap().clone();
        let seen: usize = questions.iter().map(|one| shown.matches(one).count()).sum();
        if seen >= number {
            return;
        }
        assert!(
            !reader.is_finished(),
            "it ended before question {number}: {shown}"
        );
        thread::sleep(Duration::from_millis(1));
    }
    panic!("question {number} has not come for two minutes");
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
