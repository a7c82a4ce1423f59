use obol_pos_sdk::{Decision, Journal, RefusalCode, Terminal, Trust, TrustRefused};

use crate::world::{EPOCH, FARE, Issuing, Phone, T, World, fares, name, rules, trust};

#[test]
fn a_good_code_is_granted_and_written_down_with_its_fare() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    let granted = world.grant(&code, T.plus(2));
    assert_eq!(granted.record.seq, 1);
    assert_eq!(granted.record.accepted_at, T.plus(2));
    assert_eq!(granted.record.fare.amount_minor, FARE);
    assert_eq!(granted.record.fare.rule, 10);
    let stored = world.terminal().journal().records(1, 9).unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].record, granted.record);
    assert_eq!(stored[0].granted_at, Some(T.plus(2)));
    assert_eq!(world.terminal().journal().check().unwrap(), 1);
}

#[test]
fn the_same_code_twice_is_a_duplicate_and_charged_once() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    world.grant(&code, T);
    assert_eq!(world.refuse(&code, T.plus(1)), RefusalCode::Duplicate);
    assert_eq!(world.refuse(&code, T.plus(40)), RefusalCode::Duplicate);
    assert_eq!(world.terminal().counts().of(RefusalCode::Duplicate), 2);
    assert_eq!(world.terminal().counts().of(RefusalCode::Passback), 0);
    assert_eq!(world.terminal().journal().last_seq().unwrap(), 1);
}

#[test]
fn what_was_taken_is_known_after_a_restart() {
    let mut world = World::new();
    let phone = world.phone(1);
    let code = phone.code(T, 1);
    world.grant(&code, T);
    world.restart();
    assert_eq!(world.refuse(&code, T.plus(20)), RefusalCode::Duplicate);
    let next = phone.code(T.plus(20), 2);
    assert_eq!(world.refuse(&next, T.plus(20)), RefusalCode::Passback);
}

#[test]
fn a_second_code_is_ignored_then_refused_then_a_new_ride() {
    let mut world = World::new();
    let phone = world.phone(1);
    world.grant(&phone.code(T, 1), T);
    let early = phone.code(T.plus(2), 2);
    let decision = world.terminal().scan(early.as_bytes(), T.plus(2));
    assert!(matches!(decision, Decision::Ignored), "{decision:?}");
    let within = phone.code(T.plus(299), 3);
    assert_eq!(world.refuse(&within, T.plus(299)), RefusalCode::Passback);
    let after = phone.code(T.plus(300), 4);
    assert_eq!(world.grant(&after, T.plus(300)).record.seq, 2);
}

#[test]
fn a_passback_interval_of_most_of_a_day_holds_to_its_last_second() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let mut rules = rules();
    rules.passback[1].interval_s = 79_000;
    let bundle = issuing.bundle(T, |_| {});
    let trust = Trust::from_bundle(&bundle, &issuing.root).unwrap();
    let journal = journal_in(&folder);
    let mut terminal = Terminal::new(rules, trust, Some(fares()), journal).unwrap();
    let phone = Phone::new(&issuing, 1, T);
    let mut scan = |at| terminal.scan(phone.code(at, 1).as_bytes(), at);
    assert!(matches!(scan(T), Decision::Granted(_)));
    let decision = scan(T.plus(78_999));
    assert!(matches!(decision, Decision::Refused(r) if r.code == RefusalCode::Passback));
    assert!(matches!(scan(T.plus(79_000)), Decision::Granted(_)));
}

#[test]
fn exactly_one_line_end_of_a_scanner_is_taken_off() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    assert_eq!(
        world.refuse(&format!("{code}\n\n"), T),
        RefusalCode::Malformed
    );
    assert_eq!(world.refuse(&format!("{code} "), T), RefusalCode::Malformed);
    assert_eq!(world.grant(&format!("{code}\r\n"), T).record.seq, 1);
}

#[test]
fn stale_future_foreign_and_forged_codes_are_refused_and_leave_no_record() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    assert_eq!(world.refuse(&code, T.plus(61)), RefusalCode::CodeStale);
    assert_eq!(world.refuse(&code, T.minus(31)), RefusalCode::CodeFuture);
    assert_eq!(
        world.refuse("https://example.org", T),
        RefusalCode::UnknownScheme
    );
    let stranger = Phone::new(&Issuing::new(), 1, T).code(T, 1);
    assert_eq!(world.refuse(&stranger, T), RefusalCode::UnknownKey);
    assert_eq!(world.terminal().journal().last_seq().unwrap(), 0);
}

#[test]
fn a_fare_above_the_cap_and_a_class_without_a_fare_are_refused() {
    let mut world = World::new();
    let poor = Phone::with_terms(&world.issuing, 1, T, 1, FARE - 1);
    assert_eq!(world.refuse(&poor.code(T, 1), T), RefusalCode::Cap);
    let other = Phone::with_terms(&world.issuing, 2, T, 2, 1000);
    assert_eq!(world.refuse(&other.code(T, 2), T), RefusalCode::FareUnknown);
    let exact = Phone::with_terms(&world.issuing, 3, T, 1, FARE);
    assert_eq!(world.grant(&exact.code(T, 3), T).record.seq, 1);
}

fn journal_in(folder: &tempfile::TempDir) -> Journal {
    Journal::create(&folder.path().join("journal"), &name(), EPOCH).unwrap()
}

#[test]
fn a_class_that_the_terminal_does_not_serve_is_out_of_scope() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let mut rules = rules();
    rules.classes = 0b100;
    let journal = journal_in(&folder);
    let mut terminal = Terminal::new(rules, trust(&issuing), Some(fares()), journal).unwrap();
    let code = Phone::new(&issuing, 1, T).code(T, 1);
    let decision = terminal.scan(code.as_bytes(), T);
    assert!(matches!(decision, Decision::Refused(r) if r.code == RefusalCode::OutOfScope));
}

#[test]
fn without_a_fare_pack_nobody_is_charged() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let journal = journal_in(&folder);
    let mut terminal = Terminal::new(rules(), trust(&issuing), None, journal).unwrap();
    let code = Phone::new(&issuing, 1, T).code(T, 1);
    let decision = terminal.scan(code.as_bytes(), T);
    assert!(matches!(decision, Decision::Refused(r) if r.code == RefusalCode::FareUnknown));
}

#[test]
fn a_running_terminal_takes_a_newer_bundle_and_fare_pack_and_no_older_bundle() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let at = |made| Trust::from_bundle(&issuing.bundle(made, |_| {}), &issuing.root).unwrap();
    let journal = journal_in(&folder);
    let mut terminal = Terminal::new(rules(), at(T.minus(5 * 86_400)), None, journal).unwrap();
    let code = Phone::new(&issuing, 1, T).code(T, 1);
    let decision = terminal.scan(code.as_bytes(), T);
    assert!(matches!(decision, Decision::Refused(r) if r.code == RefusalCode::BundleExpired));
    terminal.believe(at(T), T).unwrap();
    terminal.charge_by(fares());
    let refused = terminal.believe(at(T.minus(60)), T).unwrap_err();
    assert!(matches!(refused, TrustRefused::Older { .. }), "{refused}");
    let decision = terminal.scan(code.as_bytes(), T);
    assert!(matches!(decision, Decision::Granted(_)), "{decision:?}");
}
