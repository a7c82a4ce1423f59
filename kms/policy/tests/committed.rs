//! The committed policies, and the table that stands for them.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::num::NonZeroU32;
use std::path::Path;

use obol_kms_policy::{Client, Context, Denial, Hour, KeyClass, Payload, Policy, Question, Role};

fn committed() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/kms"))
}

fn question(role: Role, class: KeyClass, payload: Payload) -> Question {
    Question {
        client: Client::new(role, "uid:1001").unwrap(),
        spki: [0xab; 32],
        class,
        payload,
        context: Context {
            hour: Hour::of(12 * 3_600),
            batch: NonZeroU32::MIN,
            approvals: 2,
        },
    }
}

/// What each role may have signed by which class, when two officers approve.
const PERMITTED: [(Role, KeyClass, Payload); 14] = [
    (Role::Issuer, KeyClass::Issuer, Payload::CredentialClaims),
    (Role::Issuer, KeyClass::TufOnline, Payload::TufTargets),
    (Role::Issuer, KeyClass::TufOnline, Payload::TufSnapshot),
    (Role::Issuer, KeyClass::TufOnline, Payload::TufTimestamp),
    (Role::Issuer, KeyClass::AccessCa, Payload::TbsCertificate),
    (Role::Issuer, KeyClass::AccessCa, Payload::Crl),
    (Role::Officer, KeyClass::Root, Payload::TbsCertificate),
    (Role::Officer, KeyClass::Root, Payload::Crl),
    (Role::Officer, KeyClass::AccessCa, Payload::TbsCertificate),
    (Role::Officer, KeyClass::AccessCa, Payload::Crl),
    (Role::Officer, KeyClass::TufRoot, Payload::TufRoot),
    (Role::Officer, KeyClass::TufTargets, Payload::TufTargets),
    (Role::Daemon, KeyClass::Audit, Payload::LogCheckpoint),
    (
        Role::Platform,
        KeyClass::LedgerClose,
        Payload::LedgerDayRoot,
    ),
];

fn every_combination() -> impl Iterator<Item = (Role, KeyClass, Payload)> {
    Role::ALL.into_iter().flat_map(|role| {
        KeyClass::ALL.into_iter().flat_map(move |class| {
            Payload::ALL
                .into_iter()
                .map(move |payload| (role, class, payload))
        })
    })
}

#[test]
fn exactly_the_listed_acts_are_permitted() {
    let policy = Policy::load(committed()).unwrap();
    for (role, class, payload) in every_combination() {
        let listed = PERMITTED.contains(&(role, class, payload));
        let decision = policy.decide(&question(role, class, payload));
        assert_eq!(
            decision.is_ok(),
            listed,
            "{role:?} {class:?} {payload:?}: {decision:?}"
        );
    }
}

#[test]
fn the_table_decides_as_the_committed_policies_over_all_combinations() {
    let (files, table) = (Policy::load(committed()).unwrap(), Policy::built_in());
    assert_eq!(files.hash(), table.hash());
    for (role, class, payload) in every_combination() {
        for (hour, batch, approvals) in circumstances() {
            let mut question = question(role, class, payload);
            question.context = Context {
                hour: Hour::of(hour * 3_600),
                batch: NonZeroU32::new(batch).unwrap(),
                approvals,
            };
            assert_eq!(
                files.decide(&question),
                table.decide(&question),
                "{question:?}"
            );
        }
    }
}

/// Every hour once, and every side of every limit.
fn circumstances() -> impl Iterator<Item = (u32, u32, u8)> {
    let sides = [1, 2, 256, 257, u32::MAX].into_iter().flat_map(|batch| {
        [0, 1, 2, 3, u8::MAX]
            .into_iter()
            .map(move |approvals| (0, batch, approvals))
    });
    sides.chain((1..24).map(|hour| (hour, 1, 2)))
}

#[test]
fn an_approval_names_its_key_its_payload_and_the_policy_that_gave_it() {
    let policy = Policy::load(committed()).unwrap();
    let question = question(Role::Daemon, KeyClass::Audit, Payload::LogCheckpoint);
    let approved = policy.decide(&question).unwrap();
    assert_eq!(approved.policy_hash(), policy.hash());
    assert_eq!(approved.spki(), question.spki);
    assert_eq!(approved.payload(), Payload::LogCheckpoint);
    assert_eq!(approved.reason(), ["daemon-signs-its-checkpoints"]);
}

#[test]
fn a_forbidding_policy_outweighs_a_permitting_one() {
    let policy = Policy::load(committed()).unwrap();
    let mut question = question(Role::Officer, KeyClass::Root, Payload::TbsCertificate);
    let approved = policy.decide(&question).unwrap();
    assert_eq!(approved.reason(), ["officer-certifies-and-revokes"]);
    question.context.approvals = 1;
    question.context.batch = NonZeroU32::new(257).unwrap();
    let denied = policy.decide(&question).unwrap_err();
    let ids = [
        "batches-are-bounded",
        "offline-keys-need-two-officers",
        "only-credentials-come-in-batches",
    ];
    assert_eq!(
        denied.reason,
        Denial::Forbidden(ids.map(str::to_owned).into())
    );
    assert_eq!(denied.policy_hash, policy.hash());
}
