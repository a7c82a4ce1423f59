//! Random ways through the states, on a real file.

use std::collections::BTreeSet;

use obol_kms_registry::{Act, Class, Needs, PayloadType, State, permits};
use proptest::prelude::*;

use crate::world::{ALICE, BOB, CAROL, DAY, MALLORY, NOW, World};

#[derive(Clone, Debug)]
struct Step {
    to: State,
    officers: Vec<u8>,
    wait: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let officers = proptest::sample::subsequence(vec![ALICE, BOB, CAROL, MALLORY], 0..=3);
    let wait = prop_oneof![Just(0), Just(DAY), Just(5 * DAY), Just(8 * DAY)];
    let step = (proptest::sample::select(State::ALL), officers, wait);
    let step = step.prop_map(|(to, officers, wait)| Step { to, officers, wait });
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is tried in whatever order: what the registry let happen, it can show the
    /// signatures for, and nothing signs that was not activated by two officers.
    #[test]
    fn no_way_leads_to_active_without_two_officers(steps in steps()) {
        let world = World::new();
        let spki = world.key(Class::Audit, 1);
        let mut now = NOW;
        let mut gone: Option<State> = None;
        for step in steps {
            now = now.plus(step.wait);
            let before = world.record(spki);
            let approvals = world
                .registry
                .statement(spki, step.to, now.plus(DAY))
                .map(|statement| {
                    let sign = |seed: &u8| crate::world::approve(*seed, &statement);
                    step.officers.iter().map(sign).collect::<Vec<_>>()
                })
                .unwrap_or_else(|_| Vec::new());
            let done = world.registry.transition(&world.change(spki, step.to), &approvals, now);
            let after = world.record(spki);
            prop_assert_eq!(after.version, before.version + u64::from(done.is_ok()));
            if done.is_err() {
                prop_assert_eq!(&after, &before);
            }
            // Once destroyed or compromised, never in a state that signs.
            if matches!(after.state, State::Destroyed | State::Compromised) {
                gone = Some(after.state);
            }
            let signs = world.registry.signable(spki, PayloadType::LogCheckpoint, now).is_ok();
            prop_assert!(!(signs && gone.is_some()));
            prop_assert_eq!(
                signs,
                permits(Class::Audit, after.state, PayloadType::LogCheckpoint).is_ok()
            );
        }
        for change in world.registry.history(spki).unwrap() {
            let officers: BTreeSet<_> = change.approvals.iter().map(|(name, _)| name).collect();
            let needed = match change.act.needs() {
                Needs::Nobody => 0,
                Needs::OneOfficer => 1,
                Needs::Quorum => 2,
            };
            prop_assert!(officers.len() >= needed, "{:?}", change);
            if change.to == State::Active {
                prop_assert!(matches!(change.act, Act::Activate | Act::Unsuspend));
            }
        }
        world.registry.examine().unwrap();
    }
}
