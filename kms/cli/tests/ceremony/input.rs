//! Bad input through the command: two lines, nothing generated, nothing overwritten.

use std::fs;
use std::path::Path;

use crate::world::{INITIALS, PIN, Ready, World};

const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// The last two lines of a command by another clock.
fn refused_at(world: &World, shift: &str, arguments: &str, typed: &str) -> (String, String) {
    let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
    let mut command = world.command("offline", arguments);
    command
        .env("LD_PRELOAD", library.expect("faketime is installed"))
        .env("FAKETIME", shift)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    World::refusal(command, typed)
}

fn nothing_was_done(world: &World) {
    assert!(!world.path("root-generation.bundle").exists());
    assert!(world.keys("offline", "root").is_empty());
}

fn refused_plan(world: &World, text: &str) -> (String, String) {
    fs::write(world.path("bad.template"), text).unwrap();
    let fill = "ceremony fill bad.template --token root=root.token.toml --out bad.plan";
    let refused = world.refused("offline", fill, "");
    assert!(!world.path("bad.plan").exists());
    refused
}

#[test]
fn a_clock_that_was_set_back_stops_a_ceremony_and_its_resumption() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let (error, help) = refused_at(&world, "-1h", &ready.command(), &world.typed(&ready));
    assert!(error.starts_with("the clock says "), "{error}");
    assert_eq!(help, "set this machine's clock");
    nothing_was_done(&world);
    let part = format!("{PIN}\nyes\nalice\nwendy\n");
    world.refused("offline", &ready.command(), &part);
    let before = world.read("root-generation.bundle/transcript");
    let rest = format!("{PIN}\n{}", INITIALS.repeat(3));
    let (error, _) = refused_at(&world, "-1h", &ready.resume(), &rest);
    assert!(error.starts_with("the clock says "), "{error}");
    assert_eq!(world.read("root-generation.bundle/transcript"), before);
    world.done("offline", &ready.resume(), &rest);
    world.holds("root-generation.bundle");
}

#[test]
fn approvals_that_have_ended_carry_nothing() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let (error, _) = refused_at(&world, "+2d", &ready.command(), &world.typed(&ready));
    assert!(
        error.starts_with("the approval of officer \"alice\" ended at "),
        "{error}"
    );
    nothing_was_done(&world);
}

#[test]
fn two_officers_with_one_key_and_a_quorum_of_nobody_or_of_more_than_all_are_no_roster() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let good = fs::read_to_string(world.path("roster.toml")).unwrap();
    let keys: Vec<_> = good
        .lines()
        .filter(|line| line.starts_with("public_key"))
        .collect();
    for (from, to, wanted) in [
        (
            keys[1],
            keys[0],
            "roster 0: officer \"bob\" is there twice, by name or by key",
        ),
        (
            "root = 2",
            "root = 0",
            "roster 0: quorum root = 0 is not 2 to 3",
        ),
        (
            "root = 2",
            "root = 4",
            "roster 0: quorum root = 4 is not 2 to 3",
        ),
        (
            "roster = 2",
            "roster = 1",
            "roster 0: quorum roster = 1 is not 2 to 3",
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        fs::write(world.path("bad.toml"), bad).unwrap();
        let command = ready.command().replace("roster.toml", "bad.toml");
        let (error, help) = world.refused("offline", &command, &world.typed(&ready));
        assert!(error.starts_with(wanted), "{error}");
        println!("{error}");
        assert_eq!(
            help,
            "give the first roster and every change since, in order"
        );
        nothing_was_done(&world);
    }
}

#[test]
fn a_plan_that_names_its_own_approvers_or_is_no_plan_is_refused_before_anything() {
    let world = World::with_root_token();
    let good = fs::read_to_string(world.template("root-generation")).unwrap();
    for (name, line) in [
        ("approvers", "approvers = [\"mallory\"]"),
        ("quorum", "quorum = 1"),
        ("witnesses", "witnesses = []"),
    ] {
        let (error, help) = refused_plan(
            &world,
            &good.replacen("title", &format!("{line}\ntitle"), 1),
        );
        let wanted =
            format!("the plan names its own {name:?}: who approves is the roster's to say");
        assert_eq!(error, wanted);
        assert!(help.starts_with("correct the plan; "), "{help}");
    }
    let (error, _) = refused_plan(
        &world,
        &good.replace("out = \"root.pem\"", "out = \"../root.pem\""),
    );
    assert!(
        error.starts_with("out \"../root.pem\" is not 1 to 64 of a-z"),
        "{error}"
    );
    let (error, _) = refused_plan(&world, &good.replace("schema = 1", "schema = 2"));
    assert_eq!(error, "the plan has schema 2, this program reads 1");
    nothing_was_done(&world);
}

/// A request for a key, after one that went before; `allowed` may differ.
fn next_request(world: &World, since: &str, allowed: &str) -> String {
    let text = fs::read_to_string(world.template("issuer-key-request")).unwrap();
    let text = text
        .replace("issuer-1", "issuer-2")
        .replace("Issuer 1", "Issuer 2");
    format!("{text}\n[changes]\nsince = \"{since}\"\nallowed = [{allowed}]\n")
}

#[test]
fn what_differs_from_the_last_ceremony_of_the_kind_is_shown_and_must_be_declared() {
    let world = World::new();
    world.token("online", "issuer");
    let ready = world.ready("issuer-key-request", "online", &["issuer"], &[]);
    let shown = world.done("online", &ready.command(), &world.typed(&ready));
    let since = shown
        .lines()
        .find_map(|line| line.strip_prefix("transcript "))
        .unwrap();
    let last = "--last issuer-key-request.bundle";
    let rehearse = |name: &str, last: &str| {
        world.token("rehearsals", name);
        format!(
            "ceremony rehearse {name}.plan {} --token issuer={name}.token.toml --out {name}.rehearsal \
             {last}",
            crate::world::PEOPLE
        )
    };
    let typed = format!("{PIN}\n{}", INITIALS.repeat(2));
    // Declared is the label, and not the subject.
    let text = next_request(&world, since, "\"1 label\"");
    world.fill(&text, "undeclared", "online", &["issuer"], &[]);
    let output = world.output("rehearsals", &rehearse("undeclared", last), &typed);
    let shown = crate::world::text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        shown.contains("differs: 1 label: issuer-2 was issuer-1\n"),
        "{shown}"
    );
    assert!(
        shown.contains("differs: 2 subject: Linea Issuer 2 was Linea Issuer 1\n"),
        "{shown}"
    );
    let wanted = "error: facts differ from the last ceremony of this kind that the plan does not \
                  name: 2 subject\nhelp: correct the plan, or name them in changes.allowed\n";
    assert!(shown.ends_with(wanted), "{shown}");
    // A plan that follows another ceremony than the one given, or none that is given.
    let text = next_request(&world, &"0".repeat(64), "");
    world.fill(&text, "stranger", "online", &["issuer"], &[]);
    for last in [last, ""] {
        let command = format!(
            "ceremony rehearse stranger.plan {} --token issuer=undeclared.token.toml --out s {last}",
            crate::world::PEOPLE
        );
        let (error, _) = world.refused("rehearsals", &command, &typed);
        assert!(
            error.starts_with("the plan follows the ceremony with transcript 00"),
            "{error}"
        );
    }
    // Both declared: rehearsed, run, and held by whoever verifies.
    let text = next_request(&world, since, "\"1 label\", \"2 subject\"");
    world.fill(&text, "declared", "online", &["issuer"], &[]);
    world.done("rehearsals", &rehearse("declared", last), &typed);
    world.request("declared", "online");
    let ready = Ready {
        name: "declared".to_owned(),
        tokens: format!("--token issuer=issuer.token.toml {last}"),
        approvals: world.approvals("declared", &["alice", "bob"]),
    };
    let output = world.output("online", &ready.command(), &world.typed(&ready));
    let shown = crate::world::text(&output.stderr);
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains("differs: 2 subject: Linea Issuer 2 was Linea Issuer 1\n"),
        "{shown}"
    );
    world.holds("declared.bundle");
}
