//! A journal that was tampered with or that decayed.

use std::fs;

use crate::stage::{Stage, amounts, granted, json, presented, two_lines};

#[test]
fn a_flipped_byte_names_its_record_and_drops_nothing() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let bus = stage.world.terminal("bus-1");
    let mut second = Vec::new();
    for seq in 1..=3 {
        ada.refresh().unwrap();
        let code = ada.text().unwrap();
        let ran = bus.type_in(code.as_bytes()).unwrap();
        assert_eq!(obol_world::Scan::of(&ran).unwrap(), granted(seq));
        if seq == 2 {
            second = presented(&code, |presentation| presentation.bytes().to_vec());
        }
    }
    let journal = stage.world.folder().join("bus-1/journal.sqlite");
    let whole = fs::read(&journal).unwrap();
    let at = whole
        .windows(second.len())
        .position(|part| part == second)
        .unwrap();
    let mut damaged = whole.clone();
    damaged[at + second.len() / 2] ^= 1;
    fs::write(&journal, &damaged).unwrap();

    let commands: [&[&str]; 4] = [
        &["journal", "check"],
        &["journal", "show"],
        &["upload"],
        &["type"],
    ];
    for command in commands {
        let (error, help) = two_lines(&bus.run(command).unwrap(), 2);
        assert_eq!(
            error,
            "the journal bus-1/journal.sqlite is damaged at record 2: its bytes and its head do \
             not belong together"
        );
        assert_eq!(
            help,
            "run `obol-pos journal repair`: it keeps this file and says what it could not bring back"
        );
        assert_eq!(
            fs::read(&journal).unwrap(),
            damaged,
            "{command:?} changed the file"
        );
    }
    assert_eq!(
        amounts(&ada),
        [5_000],
        "nothing of a damaged journal is charged"
    );

    fs::write(&journal, &whole).unwrap();
    assert_eq!(json(&bus.run(&["journal", "check"]).unwrap())["records"], 3);
    assert_eq!(bus.upload().unwrap()["watermark"], 3);
    assert_eq!(amounts(&ada), [5_000, -200, -200, -200]);
}
