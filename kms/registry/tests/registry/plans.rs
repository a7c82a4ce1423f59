//! Keys that terminals meet become active by a plan that strands nobody.

use obol_credential::UnixTime;
use obol_kms_registry::rotation::instant;
use obol_kms_registry::{
    ApprovalRefusal, ChangeError, Class, Clearance, FLEET_AGE_MAX_S, KeptClearance, NotCleared,
    NotSignable, PayloadType, PlanRefusal, Registry, SpkiId, State,
};
use rusqlite::Connection;

use crate::states::certified_issuer;
use crate::world::{ALICE, BOB, DAY, NOW, PROPAGATION, World, approve, later};

/// A fleet whose slowest terminal refreshes once in so many days.
fn fleet(recorded: UnixTime, days: u32) -> String {
    let recorded = instant(recorded);
    format!(
        "schema = 1\nrecorded = {recorded}\n[[groups]]\nname = 'all'\nterminals = 1000\n\
         longest = '{days}d'\n"
    )
}

/// A plan of these keys, each published at [`NOW`] and active after the propagation time.
fn plan(class: Class, keys: &[SpkiId]) -> String {
    let mut text = format!(
        "schema = 1\nbegins = {}\nends = {}\n[lives]\ncredential = '48h'\ncertificate = '90d'\n",
        instant(NOW),
        instant(later(90 * DAY))
    );
    let (published, activated) = (instant(NOW), instant(later(PROPAGATION)));
    for spki in keys {
        text += &format!(
            "[[keys]]\nspki = '{spki}'\nclass = '{class}'\npublished = {published}\n\
             activated = {activated}\n"
        );
    }
    text
}

fn cleared(plan: &str, days: u32) -> Clearance {
    Clearance::simulated(plan.to_owned(), fleet(NOW, days)).unwrap()
}

/// A published issuer key.
fn published(world: &World) -> SpkiId {
    let (spki, certificate) = certified_issuer(world);
    world.registry.certify(spki, &certificate, NOW).unwrap();
    world.registry.publish(spki, NOW).unwrap();
    spki
}

fn refusal(world: &World, spki: SpkiId, by: &Clearance, now: UnixTime) -> PlanRefusal {
    match world.activate(spki, by, now) {
        Err(ChangeError::Plan(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_that_terminals_meet_is_not_activated_without_a_plan() {
    let world = World::new();
    let spki = published(&world);
    let now = later(PROPAGATION);
    let approvals = world
        .approvals(spki, State::Active, now, &[ALICE, BOB])
        .unwrap();
    let change = world.change(spki, State::Active);
    let error = world
        .registry
        .transition(&change, &approvals, now)
        .unwrap_err();
    let text = "a key of class issuer becomes active by a plan that was simulated";
    assert_eq!(error.to_string(), text);
    assert_eq!(world.record(spki).state, State::Published);
}

#[test]
fn a_key_is_activated_by_a_plan_that_strands_nobody_and_the_plan_is_kept() {
    let world = World::new();
    let spki = published(&world);
    let plan = plan(Class::Issuer, &[spki]);
    let record = world
        .activate(spki, &cleared(&plan, 4), later(PROPAGATION))
        .unwrap();
    assert_eq!(record.state, State::Active);
    let history = world.registry.history(spki).unwrap();
    let fleet = fleet(NOW, 4);
    let kept = KeptClearance::Planned { plan, fleet };
    assert_eq!(history.last().unwrap().clearance, Some(kept));
    world.registry.examine().unwrap();
    world
        .registry
        .signable(spki, PayloadType::CredentialClaims, later(PROPAGATION))
        .unwrap();
}

#[test]
fn a_plan_that_strands_a_terminal_clears_nothing_until_officers_waive_it() {
    let world = World::new();
    let spki = published(&world);
    let (plan, fleet) = (plan(Class::Issuer, &[spki]), fleet(NOW, 5));
    let stranded = Clearance::simulated(plan.clone(), fleet.clone()).unwrap_err();
    let expected = format!(
        "the plan strands 1 of the fleet, first all (1000 terminals, silent for up to 432000 s): \
         key {spki} signs from {}, and is known to all of them only from {}",
        instant(later(PROPAGATION)),
        instant(later(5 * DAY))
    );
    assert_eq!(stranded.to_string(), expected);
    let waived = Clearance::waived(plan.clone(), fleet).unwrap();
    world.activate(spki, &waived, later(PROPAGATION)).unwrap();
    world.registry.examine().unwrap();
    let nothing = Clearance::waived(plan, self::fleet(NOW, 4));
    assert_eq!(nothing, Err(NotCleared::NothingToWaive));
}

#[test]
fn officers_who_signed_for_one_plan_have_not_signed_for_another() {
    let world = World::new();
    let spki = published(&world);
    let now = later(PROPAGATION);
    let (signed, other) = (
        plan(Class::Issuer, &[spki]),
        plan(Class::Issuer, &[spki]) + "\n",
    );
    let by = cleared(&signed, 4);
    let statement = world
        .registry
        .activation(spki, &by, now, now.plus(DAY))
        .unwrap();
    let approvals = [ALICE, BOB].map(|seed| approve(seed, &statement));
    let change = world.change(spki, State::Active);
    for other in [
        cleared(&other, 4),
        cleared(&signed, 3),
        Clearance::no_fleet(),
    ] {
        let error = world
            .registry
            .activate(&change, &other, &approvals, now)
            .unwrap_err();
        let (officer, field) = ("alice".to_owned(), "clearance");
        let expected = ApprovalRefusal::OtherChange { officer, field };
        assert!(matches!(error, ChangeError::Approval(refusal) if refusal == expected));
    }
    world
        .registry
        .activate(&change, &by, &approvals, now)
        .unwrap();
}

#[test]
fn no_fleet_is_believed_only_until_a_key_of_the_class_has_signed() {
    let world = World::new();
    let now = later(PROPAGATION);
    let keys = [1, 2, 3].map(|seed| {
        let spki = world.key(Class::TufOnline, seed);
        world.registry.publish(spki, NOW).unwrap();
        spki
    });
    let no_fleet = Clearance::no_fleet();
    for spki in &keys[..2] {
        world.activate(*spki, &no_fleet, now).unwrap();
    }
    let signable = world
        .registry
        .signable(keys[1], PayloadType::TufTimestamp, now)
        .unwrap();
    world
        .registry
        .count(&signable, "obol://issuer/main", now)
        .unwrap();
    let expected = PlanRefusal::FleetInService {
        other: keys[1],
        class: Class::TufOnline,
    };
    assert_eq!(refusal(&world, keys[2], &no_fleet, now), expected);
    let all = plan(Class::TufOnline, &keys);
    world.activate(keys[2], &cleared(&all, 4), now).unwrap();
    world.registry.examine().unwrap();
}

#[test]
fn a_plan_that_does_not_fit_what_the_registry_knows_is_refused() {
    let world = World::new();
    let spki = published(&world);
    let now = later(PROPAGATION);
    let good = plan(Class::Issuer, &[spki]);
    let stranger = SpkiId([9; 32]);
    let by = cleared(&plan(Class::Issuer, &[stranger]), 4);
    assert_eq!(
        refusal(&world, spki, &by, now),
        PlanRefusal::NotCovered(spki)
    );
    let by = cleared(&plan(Class::TufOnline, &[spki]), 4);
    let differs = |field, planned: String, known: String| PlanRefusal::Differs {
        spki,
        field,
        planned,
        known,
    };
    let expected = differs("of class", "tuf-online".to_owned(), "issuer".to_owned());
    assert_eq!(refusal(&world, spki, &by, now), expected);
    let earlier = UnixTime(NOW.0 - 1);
    let by = good.replacen(
        &format!("published = {}", instant(NOW)),
        &format!("published = {}", instant(earlier)),
        1,
    );
    let expected = differs("published at", instant(earlier), instant(NOW));
    assert_eq!(refusal(&world, spki, &cleared(&by, 4), now), expected);
    let (from, until) = (now, later(90 * DAY));
    for wrong in [UnixTime(now.0 - 1), UnixTime(until.0 + 1)] {
        let expected = PlanRefusal::OutOfTime {
            from,
            until,
            now: wrong,
        };
        let fresh = Clearance::simulated(good.clone(), fleet(wrong, 4)).unwrap();
        // The propagation time is asked first.
        if wrong > now {
            assert_eq!(refusal(&world, spki, &fresh, wrong), expected);
        } else {
            let error = world
                .registry
                .activation(spki, &fresh, wrong, until)
                .unwrap_err();
            assert_eq!(error.to_string(), expected.to_string());
        }
    }
    let recorded = UnixTime(now.0 - FLEET_AGE_MAX_S - 1);
    let old = Clearance::simulated(good, fleet(recorded, 4)).unwrap();
    assert_eq!(
        refusal(&world, spki, &old, now),
        PlanRefusal::FleetTime { recorded, now }
    );
}

#[test]
fn a_plan_speaks_of_every_key_whose_signatures_are_in_use() {
    let world = World::new();
    let now = later(PROPAGATION);
    let [old, new] = [1, 2].map(|seed| {
        let spki = world.key(Class::TufOnline, seed);
        world.registry.publish(spki, NOW).unwrap();
        spki
    });
    world.activate(old, &Clearance::no_fleet(), now).unwrap();
    let expected = PlanRefusal::LeftOut {
        spki: old,
        state: State::Active,
    };
    let alone = cleared(&plan(Class::TufOnline, &[new]), 4);
    assert_eq!(refusal(&world, new, &alone, now), expected);
    let both = plan(Class::TufOnline, &[new, old]);
    let retired = instant(now);
    let over = both.replacen("activated", &format!("retired = {retired}\nactivated"), 3);
    let over = over.replacen(&format!("retired = {retired}\n"), "", 1);
    let over = over.replace(
        &format!("retired = {retired}\nactivated = {retired}"),
        &format!("retired = {retired}\nactivated = {}", instant(NOW)),
    );
    let expected = PlanRefusal::Differs {
        spki: old,
        field: "retired at",
        planned: retired,
        known: "not yet".to_owned(),
    };
    assert_eq!(refusal(&world, new, &cleared(&over, 4), now), expected);
    world.activate(new, &cleared(&both, 4), now).unwrap();
}

#[test]
fn a_change_that_is_asked_no_plan_takes_none() {
    let world = World::new();
    let key = world.key_in(State::Published, 1);
    let expected = PlanRefusal::Uncalled {
        act: obol_kms_registry::Act::Activate,
        class: Class::Audit,
    };
    let now = later(PROPAGATION);
    assert_eq!(
        refusal(&world, key.spki, &Clearance::no_fleet(), now),
        expected
    );
}

/// Someone writes into the file past the registry.
fn tamper(registry: &Registry, sql: &str) {
    let connection = Connection::open(registry.path()).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_plan_that_was_changed_in_the_file_is_not_what_officers_signed() {
    let world = World::new();
    let spki = published(&world);
    let plan = plan(Class::Issuer, &[spki]);
    world
        .activate(spki, &cleared(&plan, 4), later(PROPAGATION))
        .unwrap();
    tamper(
        &world.registry,
        "UPDATE clearance SET fleet = replace(fleet, '1000', '1001')",
    );
    let error = world.registry.examine().unwrap_err().to_string();
    assert!(
        error.contains("the approval of \"alice\" is wrong at version 4"),
        "{error}"
    );
    tamper(&world.registry, "UPDATE clearance SET plan = 'no plan'");
    let error = world.registry.examine().unwrap_err().to_string();
    assert!(
        error.contains("its plan: the plan does not read"),
        "{error}"
    );
}

#[test]
fn an_active_key_that_nothing_has_cleared_does_not_sign() {
    let world = World::new();
    let spki = published(&world);
    world
        .activate(spki, &Clearance::no_fleet(), later(PROPAGATION))
        .unwrap();
    tamper(&world.registry, "DELETE FROM clearance");
    let error = world
        .registry
        .signable(spki, PayloadType::CredentialClaims, later(PROPAGATION))
        .unwrap_err();
    assert!(matches!(error, NotSignable::Uncleared { .. }));
    let text =
        format!("{spki}: a key of class issuer that no simulated plan has cleared does not sign");
    assert_eq!(error.to_string(), text);
    let error = world.registry.examine().unwrap_err().to_string();
    assert!(error.contains("no plan was kept at version 4"), "{error}");
}

#[test]
fn a_key_that_was_activated_before_plans_were_demanded_goes_on() {
    let world = World::new();
    let spki = published(&world);
    let now = later(PROPAGATION);
    // As the registry of schema 1 let it happen: officers signed nine members.
    let statement = world
        .registry
        .statement(spki, State::Active, now.plus(DAY))
        .unwrap();
    let approvals = [("alice", ALICE), ("bob", BOB)].map(|(name, seed)| {
        let approval = approve(seed, &statement).encode();
        let hex: String = approval.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("INSERT INTO approval VALUES (X'{spki}', 4, '{name}', X'{hex}');")
    });
    let id: String = world.registry.id().to_string();
    tamper(
        &world.registry,
        &format!(
            "UPDATE key SET state = 'active', version = 4;
             INSERT INTO change VALUES (X'{spki}', 4, X'{id}', 'published', 'active', 'activate',
                                        {now}, 'as planned');
             {}
             DROP TABLE clearance;
             PRAGMA user_version = 1;",
            approvals.concat()
        ),
    );
    let registry = world.again();
    registry.examine().unwrap();
    registry
        .signable(spki, PayloadType::CredentialClaims, now)
        .unwrap();
    let history = registry.history(spki).unwrap();
    assert_eq!(
        history.last().unwrap().clearance,
        Some(KeptClearance::Former)
    );
}
