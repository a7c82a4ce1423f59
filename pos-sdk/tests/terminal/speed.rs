//! Tables and remembered credentials spare work and change no decision: the keys that are believed
//! at this moment are asked first, each time.

use std::collections::BTreeMap;

use obol_pos_sdk::{
    Decision, Periods, RefusalCode, StatusList, StatusListId, SuspendedKeys, Trust, TrustState,
};

use crate::world::{Issuing, Phone, T, World, trust};

/// A world whose terminal has tables, and has taken a code of `phone`.
fn prepared() -> (World, Phone) {
    let mut world = World::new();
    world.terminal().prepare();
    let phone = world.phone(1);
    world.grant(&phone.code(T, 1), T);
    (world, phone)
}

/// What an update brings that suspends `suspended`.
fn state(world: &World, suspended: Vec<obol_credential::Kid>) -> TrustState {
    let periods = Periods {
        signed_at: T,
        fresh_until: T.plus(600),
        good_until: T.plus(86_400),
    };
    let id = StatusListId::of(world.issuing.kid(), T.minus(600));
    let lists = BTreeMap::from([(id, StatusList::empty(8).unwrap())]);
    let suspended = SuspendedKeys::new(suspended).unwrap();
    TrustState::new(&trust(&world.issuing), lists, &suspended, periods)
}

#[test]
fn a_remembered_credential_of_a_key_that_was_suspended_is_refused_until_it_is_lifted() {
    let (mut world, phone) = prepared();
    let (second, third) = (phone.code(T.plus(10), 2), phone.code(T.plus(20), 3));
    let suspended = state(&world, vec![world.issuing.kid()]);
    world.terminal().believe_state(suspended);
    let refused = world.refuse(&second, T.plus(10));
    assert_eq!(refused, RefusalCode::KeySuspended);
    let lifted = state(&world, Vec::new());
    world.terminal().believe_state(lifted);
    assert_eq!(world.refuse(&third, T.plus(20)), RefusalCode::Passback);
}

#[test]
fn a_remembered_credential_of_a_key_that_left_the_bundle_is_refused() {
    let (mut world, phone) = prepared();
    let other = Issuing::new();
    world.terminal().believe(trust(&other), T).unwrap();
    let refused = world.refuse(&phone.code(T.plus(10), 2), T.plus(10));
    assert_eq!(refused, RefusalCode::UnknownKey);
}

#[test]
fn the_keys_of_a_new_bundle_have_tables_and_their_credentials_are_good() {
    let mut world = World::new();
    assert_eq!(world.terminal().prepared_keys(), 0);
    let other = Issuing::new();
    world.terminal().believe(trust(&other), T).unwrap();
    assert_eq!(
        world.terminal().prepared_keys(),
        0,
        "nobody asked for tables"
    );
    world.terminal().prepare();
    assert_eq!(world.terminal().prepared_keys(), 1);
    let own = trust(&world.issuing);
    world.terminal().believe(own, T).unwrap();
    assert_eq!(world.terminal().prepared_keys(), 1);
    let code = world.phone(1).code(T, 1);
    world.grant(&code, T);
    let foreign = Phone::new(&other, 2, T).code(T, 1);
    assert_eq!(world.refuse(&foreign, T), RefusalCode::UnknownKey);
}

/// The issuer's signature of one credential under the claims of another.
#[test]
fn a_forged_credential_is_refused_with_tables_and_beside_a_remembered_one() {
    let (mut world, phone) = prepared();
    let forged = phone.richer();
    for nonce in 2..4 {
        let at = T.plus(nonce);
        let refused = world.refuse(&forged.code(at, nonce), at);
        assert_eq!(refused, RefusalCode::IssuerSig);
    }
}

#[test]
fn the_one_call_for_a_simple_box_computes_tables_by_itself() {
    use obol_pos_sdk::{Door, Granted, Opening, Refusal, Scanner};
    use std::convert::Infallible;
    struct Silent;
    impl Scanner for Silent {
        type Error = Infallible;
        fn next_text(&mut self) -> Result<Option<Vec<u8>>, Infallible> {
            Ok(None)
        }
    }
    impl Door for Silent {
        type Error = Infallible;
        fn open(&mut self, _: &Granted, _: Opening) -> Result<(), Infallible> {
            Ok(())
        }
        fn stay_closed(&mut self, _: Option<&Refusal>) -> Result<(), Infallible> {
            Ok(())
        }
    }
    let mut world = World::new();
    let terminal = world.terminal();
    let done = terminal.run(&mut Silent, &mut || T, &mut Silent);
    assert_eq!((done, terminal.prepared_keys()), (Ok(()), 1));
}

#[test]
fn with_tables_and_without_the_same_texts_get_the_same_answers() {
    let (mut fast, mut plain) = (World::new(), World::new());
    let bundle = fast.issuing.bundle(T.minus(3600), |_| {});
    let shared = Trust::from_bundle(&bundle, &fast.issuing.root).unwrap();
    plain.terminal().believe(shared, T).unwrap();
    fast.terminal().prepare();
    let phone = fast.phone(1);
    let code = phone.code(T, 1);
    let mut texts = vec![code.clone(), phone.code(T.plus(90), 2), "HC1:".into()];
    texts.push(phone.richer().code(T, 3));
    for at in (4..code.len()).step_by(31) {
        let mut bent = code.clone().into_bytes();
        bent[at] = if bent[at] == b'0' { b'1' } else { b'0' };
        texts.push(String::from_utf8(bent).unwrap());
    }
    let answer = |world: &mut World, text: &str| match world.terminal().scan(text.as_bytes(), T) {
        Decision::Granted(granted) => {
            world.terminal().opened(granted, T);
            "granted".to_owned()
        }
        other => format!("{other:?}"),
    };
    for text in texts {
        assert_eq!(
            answer(&mut fast, &text),
            answer(&mut plain, &text),
            "{text}"
        );
    }
}
