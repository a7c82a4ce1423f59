//! Officers' signatures.

use obol_kms_registry::{
    APPROVAL_LIFE_MAX_S, Act, Approval, ApprovalRefusal, ChangeError, RegistryId, SpkiId, State,
};

use crate::world::{
    ALICE, BOB, CAROL, DAY, MALLORY, NOW, PROPAGATION, World, approve, later, officer_key,
};

fn refusal(world: &World, approvals: &[Approval]) -> ApprovalRefusal {
    let key = world.registry.list().unwrap().remove(0);
    let change = world.change(key.spki, State::Active);
    let now = later(PROPAGATION);
    match world.registry.transition(&change, approvals, now) {
        Err(ChangeError::Approval(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A published key that waits for nothing but officers, and the statement they sign.
fn waiting() -> (World, obol_kms_registry::Statement) {
    let world = World::new();
    let key = world.key_in(State::Published, 1);
    let not_after = later(PROPAGATION + DAY);
    let statement = world
        .registry
        .statement(key.spki, State::Active, not_after)
        .unwrap();
    (world, statement)
}

#[test]
fn one_officer_does_not_activate_a_key_and_not_by_signing_twice() {
    let (world, statement) = waiting();
    let one = approve(ALICE, &statement);
    let (act, needed) = (Act::Activate, 2);
    assert_eq!(
        refusal(&world, &[]),
        ApprovalRefusal::TooFew {
            act,
            needed,
            given: 0
        }
    );
    let alone = [one.clone()];
    assert_eq!(
        refusal(&world, &alone),
        ApprovalRefusal::TooFew {
            act,
            needed,
            given: 1
        }
    );
    let twice = [one.clone(), one];
    assert_eq!(
        refusal(&world, &twice),
        ApprovalRefusal::Twice("alice".to_owned())
    );
}

#[test]
fn suspending_takes_one_officer_and_coming_back_takes_two() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let now = later(PROPAGATION);
    let one = world
        .approvals(key.spki, State::Suspended, now, &[CAROL])
        .unwrap();
    let change = world.change(key.spki, State::Suspended);
    world.registry.transition(&change, &one, now).unwrap();
    let one = world
        .approvals(key.spki, State::Active, now, &[CAROL])
        .unwrap();
    let change = world.change(key.spki, State::Active);
    let error = world.registry.transition(&change, &one, now).unwrap_err();
    let text = "unsuspend takes the approval of 2 officers, 1 given";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_stranger_spoils_what_two_officers_have_approved() {
    let (world, statement) = waiting();
    let approvals = [ALICE, BOB, MALLORY].map(|seed| approve(seed, &statement));
    let expected = ApprovalRefusal::NotAnOfficer(officer_key(MALLORY));
    assert_eq!(refusal(&world, &approvals), expected);
}

#[test]
fn a_signature_by_another_under_an_officers_name_does_not_verify() {
    let (world, statement) = waiting();
    let mallorys = *approve(MALLORY, &statement).signature();
    let forged = Approval::new(&statement, officer_key(BOB), mallorys);
    let approvals = [approve(ALICE, &statement), forged];
    assert_eq!(
        refusal(&world, &approvals),
        ApprovalRefusal::Signature("bob".to_owned())
    );
    let nothing = Approval::new(&statement, officer_key(BOB), [0; 64]);
    let approvals = [approve(ALICE, &statement), nothing];
    assert_eq!(
        refusal(&world, &approvals),
        ApprovalRefusal::Signature("bob".to_owned())
    );
}

#[test]
fn an_approval_counts_up_to_its_last_second() {
    let (world, mut statement) = waiting();
    let now = later(PROPAGATION);
    statement.not_after = later(PROPAGATION - 1);
    let approvals = [ALICE, BOB].map(|seed| approve(seed, &statement));
    let expired = ApprovalRefusal::Expired {
        officer: "alice".to_owned(),
        not_after: statement.not_after,
        now,
    };
    assert_eq!(refusal(&world, &approvals), expired);
    statement.not_after = now.plus(APPROVAL_LIFE_MAX_S + 1);
    let approvals = [ALICE, BOB].map(|seed| approve(seed, &statement));
    assert!(matches!(
        refusal(&world, &approvals),
        ApprovalRefusal::TooLong { .. }
    ));

    statement.not_after = now;
    let last = approve(ALICE, &statement);
    statement.not_after = now.plus(APPROVAL_LIFE_MAX_S);
    let approvals = [last, approve(BOB, &statement)];
    let change = world.change(statement.spki, State::Active);
    world.registry.transition(&change, &approvals, now).unwrap();
}

#[test]
fn an_approval_of_anything_else_is_named_and_refused() {
    let (world, statement) = waiting();
    let mut others = [statement; 6];
    others[0].registry = RegistryId([8; 16]);
    others[1].roster.0[0] ^= 1;
    others[2].spki = SpkiId([9; 32]);
    others[3].from = State::Suspended;
    others[4].to = State::Compromised;
    others[5].version += 1;
    let fields = [
        "registry",
        "roster",
        "key",
        "state before",
        "state after",
        "version",
    ];
    for (other, field) in others.iter().zip(fields) {
        let approvals = [approve(ALICE, &statement), approve(BOB, other)];
        let officer = "bob".to_owned();
        let expected = ApprovalRefusal::OtherChange { officer, field };
        assert_eq!(refusal(&world, &approvals), expected);
    }
}

#[test]
fn an_approval_is_good_for_one_change_and_never_again() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let now = later(PROPAGATION);
    let go = |to: State, officers: &[u8]| {
        let approvals = world.approvals(key.spki, to, now, officers).unwrap();
        world
            .registry
            .transition(&world.change(key.spki, to), &approvals, now)
            .unwrap();
        approvals
    };
    go(State::Suspended, &[ALICE]);
    let used = go(State::Active, &[ALICE, BOB]);
    go(State::Suspended, &[CAROL]);
    let change = world.change(key.spki, State::Active);
    let error = world.registry.transition(&change, &used, now).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the approval of \"alice\" is for another version"
    );
    assert_eq!(world.record(key.spki).state, State::Suspended);
}

#[test]
fn an_approval_reads_back_and_no_other_bytes_do() {
    let (_, statement) = waiting();
    let approval = approve(ALICE, &statement);
    let bytes = approval.encode();
    assert_eq!(Approval::decode(&bytes), Ok(approval));
    for cut in 0..bytes.len() {
        assert!(Approval::decode(&bytes[..cut]).is_err());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(
        Approval::decode(&longer).unwrap_err().rule,
        "trailing bytes"
    );
    let mut off_curve = bytes.clone();
    let point = bytes.len() - 66 - 33;
    off_curve[point] = 5;
    let error = Approval::decode(&off_curve).unwrap_err();
    assert_eq!(error.rule, "not a compressed point of P-256");
}

#[test]
fn there_is_no_statement_for_a_change_that_is_no_way() {
    let world = World::new();
    let key = world.key_in(State::Compromised, 1);
    let error = world
        .registry
        .statement(key.spki, State::Active, NOW)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a key that is compromised cannot become active"
    );
}
