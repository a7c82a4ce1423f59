//! What terminals tell of their news.

use obol_payment::UnixTime;
use obol_payment::ride::TerminalName;
use obol_store::{Books, Terminal, TerminalRefresh};

use crate::bench::Bench;

fn name(number: u8) -> TerminalName {
    TerminalName::new(&format!("tram-{number}")).unwrap()
}

fn refresh(at: u32, silence_s: Option<u32>) -> TerminalRefresh {
    let refreshed_at = UnixTime(at);
    TerminalRefresh {
        refreshed_at,
        silence_s,
    }
}

#[test]
fn of_each_registered_terminal_the_last_word_is_kept_and_of_no_other() {
    let bench = Bench::new();
    let before = bench.store.fleet().unwrap().len();
    for number in [2, 1] {
        let terminal = Terminal {
            name: name(number),
            spki: [number; 32],
            operator: "metro".into(),
        };
        bench.store.register_terminal(&terminal).unwrap();
    }
    let note = |number, refresh| bench.store.note_refresh(&name(number), refresh).unwrap();
    note(1, refresh(1_000, None));
    note(1, refresh(u32::MAX, Some(u32::MAX)));
    note(1, refresh(1_600, Some(600)));
    note(1, refresh(1_600, Some(600)));
    note(3, refresh(1_600, Some(600)));
    let read = Books::open(&bench.path()).unwrap().fleet().unwrap();
    let trams = read.into_iter().skip(before).collect::<Vec<_>>();
    let expected = [(name(1), Some(refresh(1_600, Some(600)))), (name(2), None)];
    assert_eq!(trams, expected);
}
