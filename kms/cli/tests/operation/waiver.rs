use std::fs;

use crate::world::{World, text};

const QUORUM: &str = "[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n";
const CERTIFY: &str = "certify --profile server --csr depot.csr --ca access.pem \
                       --token access.token.toml --days 400 --out depot.pem";

/// Root, access CA, a depot's request, three officers, and a waiver that nobody has signed.
fn world() -> World {
    let world = World::new(&["root", "access"]);
    world.done("root create --token root.token.toml --out root.pem");
    world.done(
        "access-ca create --root-token root.token.toml --root root.pem --token access.token.toml \
         --out access.pem",
    );
    let made = world
        .command("openssl")
        .args("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args("-keyout depot.key -out depot.csr -subj /CN=x".split(' '))
        .args([
            "-addext",
            "subjectAltName=URI:obol://platform/depot,DNS:localhost",
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mut roster = String::new();
    for name in ["alice", "bob"] {
        roster += &world.done(&format!("officer keygen --name {name} --key {name}.key"));
    }
    fs::write(world.path("roster.toml"), roster + QUORUM).unwrap();
    world.done("officer keygen --name mallory --key mallory.key");
    create(&world);
    world
}

fn create(world: &World) {
    let mut arguments: Vec<_> = "waiver create --rule validity-within-profile --profile server \
                                 --days 30 --out 0.toml --reason"
        .split_whitespace()
        .collect();
    arguments.push("the depot is rebuilt \"until\" spring");
    let made = world.obol_kms(&arguments);
    assert!(made.status.success(), "{}", text(&made.stderr));
}

fn sign(officer: &str, from: &str, to: &str) -> String {
    format!("waiver sign --waiver {from} --roster roster.toml --key {officer}.key --out {to} --yes")
}

fn certify_under(waivers: &str) -> String {
    format!("{CERTIFY} --waivers {waivers} --roster roster.toml")
}

#[test]
fn a_certificate_that_breaks_a_rule_is_issued_under_a_waiver_by_two_officers_alone() {
    let world = world();
    let (code, error, _) = world.fails(CERTIFY);
    assert_eq!(code, 1);
    assert!(error.contains("validity-within-profile"), "{error}");

    world.done(&sign("alice", "0.toml", "1.toml"));
    let (code, error, help) = world.fails(&certify_under("1.toml"));
    let expected =
        "the waiver of \"validity-within-profile\" takes the approval of 2 officers, 1 given";
    assert_eq!((code, error.as_str()), (1, expected));
    assert_eq!(help, "have another officer sign it with `waiver sign`");
    assert!(!world.path("depot.pem").exists());

    let signed = world.json(&(sign("bob", "1.toml", "2.toml") + " --json"));
    assert_eq!(signed[0]["approving"], serde_json::json!(["alice", "bob"]));
    assert_eq!(signed[0]["reason"], "the depot is rebuilt \"until\" spring");
    world.done("waiver check --waiver 2.toml --roster roster.toml");
    let made = world.json(&(certify_under("2.toml") + " --json"));
    assert_eq!(made["uri"], "obol://platform/depot");
    let shown = world
        .command("openssl")
        .args("x509 -in depot.pem -noout -checkend 31536000".split(' '))
        .output()
        .unwrap();
    assert!(shown.status.success(), "good for less than a year");
}

#[test]
fn a_waiver_waives_its_rule_for_its_profile_alone() {
    let world = world();
    world.done(&sign("alice", "0.toml", "1.toml"));
    world.done(&sign("bob", "1.toml", "2.toml"));
    let (code, error, _) = world.fails(&certify_under("2.toml").replace("server", "client"));
    assert_eq!(code, 1);
    assert!(error.contains("only the server profile allows"), "{error}");
    let longer = certify_under("2.toml").replace("--days 400", "--days 7000");
    let (code, error, _) = world.fails(&longer);
    assert_eq!(code, 1);
    assert!(
        error.contains("after its issuer's certificate ends"),
        "{error}"
    );
}

#[test]
fn a_waiver_past_its_date_is_neither_signed_nor_believed() {
    let world = world();
    world.done(&sign("alice", "0.toml", "1.toml"));
    world.done(&sign("bob", "1.toml", "2.toml"));
    let ended = replace_line(&world, "2.toml", "not_after", "not_after = 1700000000");
    fs::write(world.path("ended.toml"), ended).unwrap();
    for arguments in [
        certify_under("ended.toml"),
        "waiver check --waiver ended.toml --roster roster.toml".to_owned(),
        sign("alice", "ended.toml", "never.toml"),
    ] {
        let (code, error, help) = world.fails(&arguments);
        assert_eq!(code, 1);
        let begin = "the waiver of \"validity-within-profile\" ended at 1700000000, it is ";
        assert!(error.starts_with(begin), "{error}");
        assert!(
            help.starts_with("follow the rule, or make a new waiver"),
            "{help}"
        );
    }
    assert!(!world.path("depot.pem").exists() && !world.path("never.toml").exists());
}

#[test]
fn a_waiver_of_another_version_of_the_rule_is_refused() {
    let world = world();
    let other = replace_line(&world, "0.toml", "rule_version", "rule_version = 9");
    fs::write(world.path("other.toml"), other).unwrap();
    for arguments in [
        sign("alice", "other.toml", "never.toml"),
        certify_under("other.toml"),
    ] {
        let (code, error, _) = world.fails(&arguments);
        assert_eq!(code, 1);
        assert!(
            error.contains("is for version 9, the rule has version "),
            "{error}"
        );
    }
}

#[test]
fn one_officer_does_not_count_twice() {
    let world = world();
    world.done(&sign("alice", "0.toml", "1.toml"));
    let (code, error, _) = world.fails(&sign("alice", "1.toml", "2.toml"));
    let expected = "officer \"alice\" has approved this waiver already";
    assert_eq!((code, error.as_str()), (1, expected));
    // By hand, for an officer who edits the file.
    let once = fs::read_to_string(world.path("1.toml")).unwrap();
    let approval = &once[once.find("[[waiver.approval]]").unwrap()..];
    fs::write(world.path("twice.toml"), format!("{once}\n{approval}")).unwrap();
    let (code, error, _) = world.fails(&certify_under("twice.toml"));
    let expected =
        "the waiver of \"validity-within-profile\" takes the approval of 2 officers, 1 given";
    assert_eq!((code, error.as_str()), (1, expected));
}

#[test]
fn a_waiver_signed_by_a_stranger_or_changed_afterwards_is_refused() {
    let world = world();
    let (code, error, _) = world.fails(&sign("mallory", "0.toml", "1.toml"));
    assert_eq!(
        (code, error.as_str()),
        (1, "this key is no officer's of the roster")
    );
    world.done(&sign("alice", "0.toml", "1.toml"));
    world.done(&sign("bob", "1.toml", "2.toml"));
    let changed = fs::read_to_string(world.path("2.toml")).unwrap();
    fs::write(
        world.path("changed.toml"),
        changed.replace("spring", "summer"),
    )
    .unwrap();
    let (code, error, _) = world.fails(&certify_under("changed.toml"));
    let expected = "the signature of officer \"alice\" on the waiver of \
                    \"validity-within-profile\" does not verify";
    assert_eq!((code, error.as_str()), (1, expected));
}

#[test]
fn waivers_without_a_roster_are_refused() {
    let (code, error, help) = world().fails(&format!("{CERTIFY} --waivers 0.toml"));
    let expected = "neither --roster nor --registry is given: nobody is an officer";
    assert_eq!((code, error.as_str()), (2, expected));
    assert_eq!(help, "give the roster of the officers who approved");
}

fn replace_line(world: &World, file: &str, key: &str, line: &str) -> String {
    let text = fs::read_to_string(world.path(file)).unwrap();
    let change = |old: &str| match old.starts_with(&format!("{key} = ")) {
        true => line.to_owned(),
        false => old.to_owned(),
    };
    text.lines().map(change).collect::<Vec<_>>().join("\n")
}
