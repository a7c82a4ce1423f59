use std::fs;

use obol_pos_sdk::{Journal, TerminalName};

use crate::world::World;

fn with_rides() -> World {
    let world = World::new();
    let typed: String = (1..=3)
        .map(|number| world.phone(number).code(world.now, 1) + "\n")
        .collect();
    assert_eq!(world.run_typing(&["type"], typed.as_bytes()).code, 0);
    world
}

#[test]
fn the_journal_is_checked_and_shown() {
    let world = with_rides();
    let said = world.run(&["journal", "check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out
            .starts_with("WHOLE records=3 watermark=0 seals=0 epoch="),
        "{said:?}"
    );
    let said = world.run(&["journal", "show"]);
    assert_eq!(said.out.lines().count(), 3);
    assert!(
        said.out
            .lines()
            .all(|line| line.contains("2.00  granted  ")),
        "{said:?}"
    );
    let said = world.run(&["--json", "journal", "show"]);
    let last: serde_json::Value = serde_json::from_str(said.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["seq"], 3);
    assert_eq!(last["head"].as_str().unwrap().len(), 64);
}

#[test]
fn a_flipped_byte_is_two_lines_that_name_the_record() {
    let world = with_rides();
    let path = world.path("journal.sqlite");
    let name = TerminalName::new("bus-12").unwrap();
    let second = Journal::open(&path, &name).unwrap().records(2, 1).unwrap()[0]
        .record
        .encode();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(second.len())
        .position(|w| w == second)
        .unwrap();
    bytes[at + 50] ^= 1;
    fs::write(&path, bytes).unwrap();
    for command in [&["journal", "check"][..], &["journal", "show"], &["type"]] {
        let said = world.run(command);
        said.two_lines(
            2,
            "is damaged at record 2: its bytes and its head do not belong",
        );
    }
}

#[test]
fn while_one_process_takes_rides_another_may_look_and_not_take() {
    let world = with_rides();
    let name = TerminalName::new("bus-12").unwrap();
    let journal = Journal::open(&world.path("journal.sqlite"), &name).unwrap();
    world.run(&["type"]).two_lines(2, "is in use");
    assert_eq!(world.run(&["journal", "check"]).code, 0);
    drop(journal);
    assert_eq!(world.run(&["type"]).code, 0);
}
