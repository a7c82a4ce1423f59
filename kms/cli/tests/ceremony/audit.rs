//! What an auditor finds in a bundle.

use std::fs;

use crate::world::{World, text};

#[test]
fn a_bundle_holds_by_one_offline_command_and_any_changed_file_is_found_and_named() {
    let world = World::with_root_token();
    let bundle = world.run(&world.root_ready(), "offline");
    let shown = world.holds(&bundle);
    assert!(shown.contains("approved by alice, bob"), "{shown}");
    for name in [
        "plan.toml",
        "rosters/0.toml",
        "approvals/alice.approval",
        "rehearsal.transcript",
        "outputs/root.pem",
        "transcript",
    ] {
        let path = world.path(&bundle).join(name);
        let good = fs::read(&path).unwrap();
        // Byte for byte takes hours through a process; the library's own tests take every byte.
        for at in [0, good.len() / 3, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            fs::write(&path, bad).unwrap();
            let output = world.verify(&bundle);
            let shown = text(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "{name} byte {at}: {shown}");
            let place = name.split('/').next().unwrap();
            let named = shown.lines().any(|line| {
                line.starts_with("PROBLEM ") && (line.contains(name) || line.contains(place))
            });
            assert!(named, "{name} byte {at}: {shown}");
        }
        fs::write(&path, good).unwrap();
    }
    world.holds(&bundle);
}

#[test]
fn a_missing_file_an_extra_file_and_a_shortened_transcript_are_found() {
    let world = World::with_root_token();
    let bundle = world.run(&world.root_ready(), "offline");
    let codes = || {
        let shown = text(&world.verify(&bundle).stdout);
        let problems = shown.lines().filter(|line| line.starts_with("PROBLEM "));
        let codes = problems.map(|line| line.split(' ').nth(1).unwrap().to_owned());
        codes.collect::<Vec<_>>()
    };
    let extra = world.path(&bundle).join("outputs/second.pem");
    fs::write(&extra, "x").unwrap();
    assert_eq!(codes(), ["FILE_UNKNOWN"]);
    fs::remove_file(extra).unwrap();
    let root = world.path(&bundle).join("outputs/root.pem");
    let kept = fs::read(&root).unwrap();
    fs::remove_file(&root).unwrap();
    assert_eq!(codes(), ["FILE_MISSING", "STEP_REFUSED"]);
    fs::write(&root, kept).unwrap();
    let transcript = world.path(&bundle).join("transcript");
    let whole = fs::read(&transcript).unwrap();
    fs::write(&transcript, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(codes(), ["TRANSCRIPT_REFUSED"]);
    // Without its last event it is a good chain that has not come to its end.
    let mut ends = vec![0];
    while ends[ends.len() - 1] < whole.len() {
        let at = ends[ends.len() - 1];
        let length = u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
        ends.push(at + 4 + length);
    }
    fs::write(&transcript, &whole[..ends[ends.len() - 2]]).unwrap();
    assert_eq!(codes(), ["FILE_UNKNOWN", "NOT_CLOSED"]);
}

#[test]
fn another_first_roster_than_the_one_read_aloud_is_a_problem() {
    let world = World::with_root_token();
    let bundle = world.run(&world.root_ready(), "offline");
    let other = "0".repeat(64);
    let output = world.output(
        "offline",
        &format!("ceremony verify {bundle} --roster {other}"),
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("PROBLEM ROSTER_UNPINNED in rosters/0.toml"));
}

#[test]
fn what_happened_unplanned_is_recorded_and_told_to_the_auditor() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let typed = world
        .typed(&ready)
        .replacen("alice", "! the light went out\nalice", 1);
    world.done("offline", &ready.command(), &typed);
    let shown = world.holds("root-generation.bundle");
    let told = shown
        .lines()
        .any(|line| line.starts_with("exception ") && line.ends_with("alice: the light went out"));
    assert!(told, "{shown}");
}
