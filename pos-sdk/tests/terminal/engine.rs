//! The engine over its ports, and the rules that stand behind both signatures.

use obol_pos_sdk::{
    Answer, ClockCheck, Decision, Door, Freshness, Granted, Journal, Opening, Passback, Refusal,
    RefusalCode, Rules, Scanner, Terminal, Trust, Velocity, WithinInterval,
};
use obol_tap::{FLAG_COMPANION, FLAG_DEGRADED};

use crate::world::{EPOCH, FARE, Issuing, Phone, T, World, fares, name, open, rules, trust};

const DAY: u32 = 86_400;

/// A scanner that reads these texts.
struct Texts(std::vec::IntoIter<String>);

impl Scanner for Texts {
    type Error = &'static str;

    fn next_text(&mut self) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.next().map(String::into_bytes))
    }
}

/// A gate that can jam, and a lamp.
#[derive(Default)]
struct Gate {
    opened: Vec<(u64, Opening)>,
    shown: Vec<Option<RefusalCode>>,
    jams: usize,
}

impl Door for Gate {
    type Error = &'static str;

    fn open(&mut self, ride: &Granted, why: Opening) -> Result<(), Self::Error> {
        if self.jams > 0 {
            self.jams -= 1;
            return Err("the gate is jammed");
        }
        self.opened.push((ride.record().seq, why));
        Ok(())
    }

    fn stay_closed(&mut self, refusal: Option<&Refusal>) -> Result<(), Self::Error> {
        self.shown.push(refusal.map(|refusal| refusal.code));
        Ok(())
    }
}

fn terminal(folder: &tempfile::TempDir, rules: Rules, trust: Trust) -> Terminal {
    let journal = Journal::create(&folder.path().join("journal"), &name(), EPOCH).unwrap();
    Terminal::new(rules, trust, Some(fares()), journal).unwrap()
}

fn code_of(decision: Decision) -> RefusalCode {
    match decision {
        Decision::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_call_takes_what_the_scanner_reads_until_it_is_done() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    let texts = [format!("{code}\r\n"), code.clone(), "TX0123".into()];
    let mut gate = Gate::default();
    let mut scanner = Texts(Vec::from(texts).into_iter());
    world
        .terminal()
        .run(&mut scanner, &mut || T, &mut gate)
        .unwrap();
    assert_eq!(gate.opened, [(1, Opening::Granted)]);
    let shown = [RefusalCode::Duplicate, RefusalCode::UnknownScheme].map(Some);
    assert_eq!(gate.shown, shown);
}

#[test]
fn a_gate_that_jams_opens_for_the_same_code_and_charges_it_once() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    let mut gate = Gate {
        jams: 1,
        ..Gate::default()
    };
    let mut take = |world: &mut World, at| {
        world
            .terminal()
            .take(code.as_bytes(), &mut || at, &mut gate)
    };
    assert_eq!(take(&mut world, T), Err("the gate is jammed"));
    let already = Answer::Opened(Opening::AlreadyPaid);
    assert_eq!(take(&mut world, T.plus(1)), Ok(already));
    let Ok(Answer::Refused(refusal)) = take(&mut world, T.plus(2)) else {
        panic!("the gate opened twice");
    };
    assert_eq!(refusal.code, RefusalCode::Duplicate);
    assert_eq!(world.terminal().journal().check().unwrap(), 1);
}

#[test]
fn a_class_that_pays_for_companions_does_so_with_a_flag_and_up_to_the_velocity() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let mut rules = rules();
    rules.passback[1] = Passback {
        interval_s: 300,
        within: WithinInterval::Companion,
    };
    rules.velocity = Velocity {
        taps: 3,
        within_s: 600,
    };
    let mut terminal = terminal(&folder, rules, trust(&issuing));
    let phone = Phone::new(&issuing, 1, T);
    let mut flags = Vec::new();
    for ride in 0..3 {
        let at = T.plus(ride * 10);
        let Decision::Granted(granted) = terminal.scan(phone.code(at, ride).as_bytes(), at) else {
            panic!("ride {ride}");
        };
        flags.push(granted.record().flags);
        terminal.opened(granted, at);
    }
    assert_eq!(flags, [0, FLAG_COMPANION, FLAG_COMPANION]);
    let mut at = |after| {
        let at = T.plus(after);
        terminal.scan(phone.code(at, 9).as_bytes(), at)
    };
    assert_eq!(code_of(at(30)), RefusalCode::Velocity);
    assert_eq!(code_of(at(600)), RefusalCode::Velocity);
    assert!(matches!(at(601), Decision::Granted(_)));
}

#[test]
fn velocity_and_passback_of_a_class_hold_after_a_restart() {
    let mut world = World::new();
    let phone = world.phone(1);
    let mut rules = rules();
    rules.passback[1].interval_s = 5;
    rules.velocity = Velocity {
        taps: 2,
        within_s: 600,
    };
    world.stop();
    for (ride, expected) in [(0, None), (1, None), (2, Some(RefusalCode::Velocity))] {
        let journal = open(&world.path());
        let trust = trust(&world.issuing);
        let mut terminal = Terminal::new(rules, trust, Some(fares()), journal).unwrap();
        let at = T.plus(ride * 10);
        let decision = terminal.scan(phone.code(at, ride).as_bytes(), at);
        match expected {
            None => assert!(matches!(decision, Decision::Granted(_)), "{decision:?}"),
            Some(code) => assert_eq!(code_of(decision), code),
        }
    }
}

#[test]
fn a_refusal_is_kept_in_the_ring_only_when_both_signatures_were_good() {
    let mut world = World::new();
    let phone = world.phone(1);
    let code = phone.code(T, 1);
    world.grant(&code, T);
    assert_eq!(world.refuse(&code, T.plus(1)), RefusalCode::Duplicate);
    assert_eq!(world.refuse("PT1:", T.plus(1)), RefusalCode::Malformed);
    assert_eq!(world.refuse(&code, T.plus(99)), RefusalCode::CodeStale);
    let later = phone.code(T.plus(20), 2);
    assert_eq!(world.refuse(&later, T.plus(20)), RefusalCode::Passback);
    world.restart();
    let kept = world.terminal().journal().refusals().unwrap();
    let found: Vec<_> = kept.iter().map(|kept| (kept.code, kept.at)).collect();
    let number = RefusalCode::number;
    let expected = [
        (number(RefusalCode::Duplicate), T.plus(1)),
        (number(RefusalCode::Passback), T.plus(20)),
    ];
    assert_eq!(found, expected);
    assert_eq!(world.terminal().journal().check().unwrap(), 1);
}

#[test]
fn the_ring_of_refusals_is_bounded() {
    let mut world = World::new();
    let code = world.phone(1).code(T, 1);
    world.grant(&code, T);
    let max = obol_pos_sdk::REFUSALS_MAX;
    for _ in 0..max + 5 {
        assert_eq!(world.refuse(&code, T), RefusalCode::Duplicate);
    }
    let kept = world.terminal().journal().refusals().unwrap();
    assert_eq!(kept.len() as u64, max);
}

#[test]
fn a_stale_bundle_lowers_the_cap_and_flags_the_record_for_72_hours_and_then_stops() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let mut rules = rules();
    rules.degraded_cap_minor = FARE;
    let made = T.minus(3 * DAY);
    let bundle = issuing.bundle(made, |_| {});
    let trust = Trust::from_bundle(&bundle, &issuing.root).unwrap();
    let expires_at = trust.expires_at();
    let mut terminal = terminal(&folder, rules, trust.clone());
    assert_eq!(terminal.freshness(expires_at.minus(1)), Freshness::Fresh);
    assert_eq!(terminal.freshness(expires_at), Freshness::Degraded);
    let phone = Phone::new(&issuing, 1, T);
    let Decision::Granted(granted) = terminal.scan(phone.code(T, 1).as_bytes(), T) else {
        panic!("not granted while degraded");
    };
    assert_eq!(granted.record().flags, FLAG_DEGRADED);
    terminal.opened(granted, T);

    let end = expires_at.plus(72 * 3600);
    let late = Phone::new(&issuing, 2, end.minus(10));
    let last = terminal.scan(late.code(end.minus(1), 1).as_bytes(), end.minus(1));
    assert!(matches!(last, Decision::Granted(_)), "{last:?}");
    let after = terminal.scan(late.code(end, 2).as_bytes(), end);
    assert_eq!(code_of(after), RefusalCode::BundleExpired);
}

#[test]
fn above_the_degraded_cap_nothing_is_taken_while_the_bundle_is_stale() {
    let (folder, issuing) = (tempfile::tempdir().unwrap(), Issuing::new());
    let mut rules = rules();
    rules.degraded_cap_minor = FARE - 1;
    let bundle = issuing.bundle(T.minus(2 * DAY), |_| {});
    let stale = Trust::from_bundle(&bundle, &issuing.root).unwrap();
    let mut terminal = terminal(&folder, rules, stale);
    let phone = Phone::new(&issuing, 1, T);
    let refused = terminal.scan(phone.code(T, 1).as_bytes(), T);
    assert_eq!(code_of(refused), RefusalCode::Cap);
    terminal.believe(trust(&issuing), T).unwrap();
    let decision = terminal.scan(phone.code(T, 1).as_bytes(), T);
    assert!(matches!(decision, Decision::Granted(_)), "{decision:?}");
}

#[test]
fn a_clock_set_behind_the_last_tap_is_a_fault_also_after_a_restart() {
    let mut world = World::new();
    let (first, second) = (world.phone(1), world.phone(2));
    let late = T.plus(600);
    world.grant(&first.code(late, 1), late);
    for _ in 0..2 {
        let early = second.code(T.plus(569), 1);
        assert_eq!(
            world.refuse(&early, T.plus(569)),
            RefusalCode::ClockFault,
            "31 s behind the last tap"
        );
        world.restart();
    }
    world.grant(&second.code(T.plus(570), 1), T.plus(570));
}

#[test]
fn a_clock_that_was_ahead_comes_back_when_a_server_agrees_with_it() {
    let mut world = World::new();
    let ahead = T.plus(20 * 3600);
    world.grant(&world.phone_at(1, ahead).code(ahead, 1), ahead);
    let code = world.phone(2).code(T, 1);
    assert_eq!(world.refuse(&code, T), RefusalCode::ClockFault);
    let wrong = world.terminal().server_time(ahead, T).unwrap();
    assert_eq!(wrong, ClockCheck::Off { by_s: -72_000 });
    assert_eq!(world.refuse(&code, T), RefusalCode::ClockFault);
    let right = world.terminal().server_time(T.plus(3), T).unwrap();
    assert_eq!(right, ClockCheck::Agrees);
    world.restart();
    world.grant(&code, T);
    assert_eq!(world.terminal().clock_floor(), T.plus(3));
}

#[test]
fn an_old_code_is_not_fresh_again_on_a_clock_that_was_set_back() {
    let mut world = World::new();
    let (old, now) = (T, T.plus(3600));
    let filmed = world.phone(1).code(old, 1);
    world.grant(&world.phone(2).code(now, 1), now);
    assert_eq!(world.refuse(&filmed, old), RefusalCode::ClockFault);
    world.restart();
    assert_eq!(world.refuse(&filmed, old), RefusalCode::ClockFault);
    assert_eq!(world.refuse(&filmed, now), RefusalCode::CodeStale);
}

#[test]
fn a_credential_that_is_denied_or_in_no_list_is_refused_and_one_of_a_suspended_key_too() {
    use obol_pos_sdk::{Periods, StatusList, StatusListId, SuspendedKeys, TrustState};
    let mut world = World::new();
    let phone = world.phone(1);
    let bundle = trust(&world.issuing);
    let periods = Periods {
        signed_at: T,
        fresh_until: T.plus(600),
        good_until: T.plus(DAY),
    };
    let id = StatusListId::of(world.issuing.kid(), T.minus(600));
    let nobody = SuspendedKeys::new(Vec::new()).unwrap();
    let believe = |world: &mut World, list: Option<StatusList>, suspended: &SuspendedKeys| {
        let lists = list.map(|list| (id, list)).into_iter().collect();
        let state = TrustState::new(&bundle, lists, suspended, periods);
        world.terminal().believe_state(state);
    };
    let code = phone.code(T, 1);
    believe(&mut world, None, &nobody);
    assert_eq!(world.refuse(&code, T), RefusalCode::StatusMissing);
    let mut denied = StatusList::empty(8).unwrap();
    denied.deny(7).unwrap();
    believe(&mut world, Some(denied), &nobody);
    assert_eq!(world.refuse(&code, T), RefusalCode::Denied);
    let good = StatusList::empty(8).unwrap();
    let suspended = SuspendedKeys::new(vec![world.issuing.kid()]).unwrap();
    believe(&mut world, Some(good.clone()), &suspended);
    assert_eq!(world.refuse(&code, T), RefusalCode::KeySuspended);
    believe(&mut world, Some(good), &nobody);
    assert_eq!(world.refuse(&code, T.minus(31)), RefusalCode::ClockFault);
    assert_eq!(world.grant(&code, T.plus(1)).record.flags, 0);
    let stale = phone.code(T.plus(900), 2);
    assert_eq!(world.grant(&stale, T.plus(900)).record.flags, FLAG_DEGRADED);
}
