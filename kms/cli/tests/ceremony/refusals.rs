//! What is refused: with two lines, nothing generated, nothing overwritten.

use std::fs;

use crate::world::{INITIALS, PEOPLE, PIN, Ready, World};

/// The token has no key and there is no bundle.
fn nothing_was_done(world: &World, ready: &Ready) {
    assert!(!world.path(&format!("{}.bundle", ready.name)).exists());
    assert!(world.keys("offline", "root").is_empty());
}

fn refusal(world: &World, ready: &Ready) -> String {
    let (error, _) = world.refused("offline", &ready.command(), &world.typed(ready));
    nothing_was_done(world, ready);
    error
}

#[test]
fn a_ceremony_runs_with_two_approvals_and_not_with_one_or_with_one_twice() {
    let world = World::with_root_token();
    let mut ready = world.root_ready();
    let both = ready.approvals.clone();
    let one = "--approval root-generation.alice.approval ";
    ready.approvals = String::new();
    let few = "an act root-generation takes the approval of 2 officers, 0 given";
    assert_eq!(refusal(&world, &ready), few);
    ready.approvals = one.to_owned();
    assert_eq!(refusal(&world, &ready), few.replace("0 given", "1 given"));
    ready.approvals = one.repeat(2);
    assert_eq!(
        refusal(&world, &ready),
        "officer \"alice\" has approved twice"
    );
    ready.approvals = both;
    world.run(&ready, "offline");
}

#[test]
fn an_id_runs_once_also_from_another_folder() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    world.run(&ready, "offline");
    let again = ready
        .command()
        .replace("root-generation.bundle", "again.bundle");
    let (error, _) = world.refused("offline", &again, &world.typed(&ready));
    assert!(
        error.ends_with("has run before, or has begun elsewhere"),
        "{error}"
    );
    assert!(!world.path("again.bundle").exists());
    let (error, _) = world.refused("offline", &ready.command(), &world.typed(&ready));
    assert_eq!(error, "root-generation.bundle exists already");
}

#[test]
fn an_approval_of_another_ceremony_plan_or_rehearsal_is_refused() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    // Another ceremony of the same plan: bob's approval is of the first id.
    fs::rename(
        world.path("root-generation.request"),
        world.path("first.request"),
    )
    .unwrap();
    world.request("root-generation", "offline");
    fs::remove_file(world.path("root-generation.alice.approval")).unwrap();
    world.approvals("root-generation", &["alice"]);
    let error = refusal(&world, &ready);
    assert!(
        error.starts_with("officer \"bob\" approved another ceremony: "),
        "{error}"
    );
    // Another rehearsal of the same plan.
    fs::rename(
        world.path("root-generation.rehearsal"),
        world.path("first.rehearsal"),
    )
    .unwrap();
    world.token("rehearsals", "second");
    let command = format!(
        "ceremony rehearse root-generation.plan {PEOPLE} --out root-generation.rehearsal \
         --token root=second.token.toml"
    );
    world.done(
        "rehearsals",
        &command,
        &format!("{PIN}\n{}", INITIALS.repeat(2)),
    );
    let error = refusal(&world, &ready);
    assert!(
        error.starts_with("officer \"alice\" approved another rehearsal: "),
        "{error}"
    );
    // Another plan.
    let plan = world.path("root-generation.plan");
    let other = fs::read_to_string(&plan).unwrap().replace("7300", "7299");
    fs::write(plan, other).unwrap();
    let error = refusal(&world, &ready);
    assert!(
        error.starts_with("the rehearsal has another plan: "),
        "{error}"
    );
}

#[test]
fn a_plan_that_was_not_rehearsed_to_its_end_does_not_run() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let transcript = world.path("root-generation.rehearsal/transcript");
    let whole = fs::read(&transcript).unwrap();
    let first = 4 + u32::from_be_bytes(whole[..4].try_into().unwrap()) as usize;
    fs::write(&transcript, &whole[..first]).unwrap();
    assert_eq!(
        refusal(&world, &ready),
        "the rehearsal has not come to its end"
    );
    fs::remove_file(&transcript).unwrap();
    let error = refusal(&world, &ready);
    assert!(
        error.starts_with("cannot read root-generation.rehearsal/transcript"),
        "{error}"
    );
}

#[test]
fn another_program_another_library_or_another_token_does_not_run() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let plan = fs::read_to_string(world.path("root-generation.plan")).unwrap();
    let tool = plan
        .lines()
        .find(|line| line.starts_with("tool_sha256"))
        .unwrap();
    let other = format!("tool_sha256 = \"{}\"", "0".repeat(64));
    fs::write(world.path("other.plan"), plan.replace(tool, &other)).unwrap();
    let command = ready
        .command()
        .replace("root-generation.plan", "other.plan");
    let (error, help) = world.refused("offline", &command, "");
    assert!(error.starts_with("another program: "), "{error}");
    assert!(help.starts_with("run the program and the library that the plan was made for"));
    nothing_was_done(&world, &ready);
    world.token("offline", "stranger");
    let command = ready
        .command()
        .replace("root.token.toml", "stranger.token.toml");
    let (error, help) = world.refused("offline", &command, &world.typed(&ready));
    assert!(error.starts_with("the token is \"stranger "), "{error}");
    assert_eq!(help, "put the plan's token into the slot; nothing was done");
    nothing_was_done(&world, &ready);
}

#[test]
fn a_token_that_has_another_roster_pinned_does_not_run() {
    let world = World::with_root_token();
    // The same people in another order: another roster.
    world.roster("roster.toml", &["bob", "alice", "carol"], &["wendy"]);
    let ready = world.root_ready();
    let error = refusal(&world, &ready);
    assert!(error.starts_with("token \"root\" has roster "), "{error}");
}

#[test]
fn a_rehearsal_on_a_token_of_the_plan_is_refused() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let command = format!(
        "ceremony rehearse root-generation.plan {PEOPLE} --token root=root.token.toml --out r"
    );
    let (error, _) = world.refused("offline", &command, &world.typed(&ready));
    assert!(error.ends_with("is one of the plan's; a rehearsal takes a throwaway token"));
    nothing_was_done(&world, &ready);
}

#[test]
fn a_wrong_pin_is_tried_once_and_a_pin_in_a_file_is_refused() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    let wrong = world.typed(&ready).replacen(PIN, "wrong-horse", 1);
    let (error, _) = world.refused("offline", &ready.command(), &wrong);
    assert!(
        error.contains("which was tried once and is not tried again"),
        "{error}"
    );
    nothing_was_done(&world, &ready);
    let command = ready
        .command()
        .replace("root.token.toml", "look.token.toml");
    let (error, _) = world.refused("offline", &command, &world.typed(&ready));
    assert_eq!(
        error,
        "the PIN would come from test.pin; in a ceremony it comes from people"
    );
    nothing_was_done(&world, &ready);
}

#[test]
fn a_witness_who_executes_and_an_officer_who_witnesses_are_refused() {
    let world = World::with_root_token();
    let ready = world.root_ready();
    for (from, to, role) in [
        (
            "--executor alice.key",
            "--executor wendy.key",
            "is no officer of the roster",
        ),
        (
            "--witness wendy.key",
            "--witness bob.key",
            "is no witness of the roster",
        ),
    ] {
        let command = ready.command().replace(from, to);
        let (error, _) = world.refused("offline", &command, &world.typed(&ready));
        assert!(error.ends_with(role), "{error}");
        nothing_was_done(&world, &ready);
    }
}

#[test]
fn a_ceremony_that_would_generate_a_key_of_a_taken_label_stops_before_the_step() {
    let world = World::with_root_token();
    world.hold("root-generation", "offline", &["root"], &[]);
    let text = fs::read_to_string(world.template("root-generation")).unwrap();
    let ready = world.ready_of(&text, "second", "offline", &["root"], &[]);
    let (error, _) = world.refused("offline", &ready.command(), &world.typed(&ready));
    assert_eq!(error, "the token has a key labelled \"root\" already");
    assert_eq!(world.keys("offline", "root"), ["root"]);
}

#[test]
fn a_waiver_past_its_date_or_for_another_version_stops_the_plan() {
    let world = World::with_root_token();
    let template = fs::read_to_string(world.template("root-generation")).unwrap();
    let text = template.replacen("title", "waivers = \"waivers.toml\"\ntitle", 1);
    for (name, not_after, version, wanted) in [
        (
            "late",
            "1000000000",
            1,
            "the waiver of \"key-usage\" ended at 1000000000",
        ),
        (
            "other",
            "4000000000",
            7,
            "the waiver of \"key-usage\" is for version 7",
        ),
    ] {
        let waiver = format!(
            "[[waiver]]\nrule = 'key-usage'\nrule_version = {version}\nprofile = 'root'\n\
             reason = 'none'\nnot_after = {not_after}\napproval = []\n"
        );
        fs::write(world.path("waivers.toml"), waiver).unwrap();
        world.fill(&text, name, "offline", &["root"], &["waivers.toml"]);
        world.token("rehearsals", name);
        let command = format!(
            "ceremony rehearse {name}.plan {PEOPLE} --token root={name}.token.toml --out {name}.r"
        );
        let (error, _) = world.refused("rehearsals", &command, &format!("{PIN}\n"));
        assert!(error.starts_with(wanted), "{error}");
        assert!(!world.path(&format!("{name}.r")).exists());
    }
}
