use std::fs;

use crate::{
    issuing::{Issuing, Phone},
    world::World,
};

#[test]
fn a_code_in_a_picture_is_granted_once_and_then_a_duplicate() {
    let world = World::new();
    let picture = world.picture(&world.phone(1).code(world.now, 1));
    let said = world.scan(&picture);
    assert_eq!(said.code, 0, "{said:?}");
    let expected = "GRANTED seq=1 fare=2.00 CNY rule=10 at=";
    assert!(said.out.starts_with(expected), "{said:?}");
    assert_eq!(said.out.lines().count(), 1);

    let said = world.scan(&picture);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(
        said.out,
        "REFUSED DUPLICATE (13): this code was taken before\n"
    );
    assert_eq!(said.err, "help: Show a fresh code for another ride.\n");
}

#[test]
fn a_stale_and_a_forged_code_are_refused_with_their_codes() {
    let world = World::new();
    let stale = world.phone(1).code(world.now.minus(120), 1);
    let said = world.scan(&world.picture(&stale));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.starts_with("REFUSED CODE_STALE (9): "), "{said:?}");

    let forger = Phone::new(&Issuing::new(), 1, world.now);
    let said = world.scan(&world.picture(&forger.code(world.now, 1)));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.starts_with("REFUSED UNKNOWN_KEY (3): "),
        "{said:?}"
    );
}

#[test]
fn a_machine_reads_json() {
    let world = World::new();
    let code = world.phone(1).code(world.now, 1);
    let typed = format!("{code}\r\n{code}\nhttps://example.org\n");
    let said = world.run_typing(&["--json", "type"], typed.as_bytes());
    assert_eq!(said.code, 1, "{said:?}");
    let lines: Vec<serde_json::Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["result"], "granted");
    assert_eq!(lines[0]["seq"], 1);
    assert_eq!(lines[0]["fare_minor"], 200);
    assert_eq!(lines[0]["currency"], "CNY");
    assert_eq!(lines[1]["result"], "refused");
    assert_eq!(lines[1]["code"], "DUPLICATE");
    assert_eq!(lines[1]["number"], 13);
    assert_eq!(lines[2]["code"], "UNKNOWN_SCHEME");
}

#[test]
fn of_typed_codes_all_good_ones_end_in_exit_code_zero() {
    let world = World::new();
    let typed: String = (1..=3)
        .map(|number| world.phone(number).code(world.now, 1) + "\n")
        .collect();
    let said = world.run_typing(&["type"], typed.as_bytes());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 3);
    assert!(said.out.lines().all(|line| line.starts_with("GRANTED ")));
}

#[test]
fn noise_of_64_kib_is_one_refusal_and_the_next_code_is_taken() {
    let world = World::new();
    let mut typed = vec![0xa5; 64 * 1024];
    typed.push(b'\n');
    typed.extend(b"PT1:");
    typed.extend(vec![b'A'; 64 * 1024]);
    typed.push(b'\n');
    typed.extend(world.phone(1).code(world.now, 1).into_bytes());
    let said = world.run_typing(&["type"], &typed);
    assert_eq!(said.code, 1, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{said:?}");
    assert!(lines[0].starts_with("REFUSED UNKNOWN_SCHEME (2): "));
    assert!(lines[1].starts_with("REFUSED MALFORMED (1): "));
    assert!(lines[2].starts_with("GRANTED seq=1 "));
}

#[test]
fn there_is_no_way_to_set_another_time() {
    let world = World::new();
    let picture = world.picture(&world.phone(1).code(world.now, 1));
    let picture = picture.to_str().unwrap();
    for option in ["--at", "--now", "--time", "--clock"] {
        let said = world.run(&["scan", option, "1800000000", picture]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("unexpected argument"), "{said:?}");
    }
}

#[test]
fn a_terminal_without_a_trust_bundle_says_what_to_do() {
    let world = World::new();
    let picture = world.picture("anything");
    fs::remove_file(world.path("trust-bundle.cbor")).unwrap();
    let said = world.scan(&picture);
    said.two_lines(2, "this terminal has no trust bundle yet");
    assert!(said.err.contains("sync"));
}

#[test]
fn a_stored_bundle_that_was_tampered_with_is_not_used() {
    let world = World::new();
    let picture = world.picture("anything");
    let stranger = Issuing::new().bundle(world.now.minus(60), |_| {});
    fs::write(world.path("trust-bundle.cbor"), stranger).unwrap();
    world.scan(&picture).two_lines(2, "is not believed");
}

#[test]
fn an_expired_stored_bundle_refuses_every_code() {
    let world = World::new();
    let bundle = world.issuing.bundle(world.now.minus(5 * 86_400), |_| {});
    fs::write(world.path("trust-bundle.cbor"), bundle).unwrap();
    let said = world.scan(&world.picture(&world.phone(1).code(world.now, 1)));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.starts_with("REFUSED BUNDLE_EXPIRED (19): "),
        "{said:?}"
    );
}

#[test]
fn a_second_identity_is_refused_and_the_key_stays() {
    let world = World::new();
    let key = fs::read(world.path("terminal.key")).unwrap();
    let request = fs::read(world.path("terminal.csr")).unwrap();
    world
        .run(&["identity"])
        .two_lines(2, "terminal.key exists already");
    assert_eq!(fs::read(world.path("terminal.key")).unwrap(), key);
    assert_eq!(fs::read(world.path("terminal.csr")).unwrap(), request);
}
