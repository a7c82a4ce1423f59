//! What must hold in the books for all sequences of postings.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

use obol_ledger::{
    AccountId, Amount, Books, BusinessDay, Code, Counters, Delta, Group, GroupKind, PostRefused,
    Posting, SourceKey, Transfer, Why,
};
use proptest::prelude::*;

fn account(bucket_of: u64, pick: u8) -> AccountId {
    let wallet = AccountId::wallet(bucket_of);
    match pick % 4 {
        0 => wallet,
        1 => AccountId::named(wallet.bucket, Code::OperatorClearing, "ferry"),
        2 => AccountId::named(wallet.bucket, Code::ChannelClearing, "simulated-bank"),
        _ => AccountId::named(wallet.bucket, Code::UnidentifiedRide, "ferry"),
    }
}

fn leg() -> impl Strategy<Value = (u8, u8, i64)> {
    (0..4u8, 1..4u8, 1..1_000_000i64).prop_map(|(dr, step, minor)| (dr, dr + step, minor))
}

prop_compose! {
    fn groups()(
        events in proptest::collection::vec(
            (0..6u64, proptest::collection::vec(leg(), 1..5)), 1..40),
    ) -> Vec<Group> {
        events.into_iter().enumerate().map(|(n, (owner, legs))| {
            let legs = legs.into_iter().map(|(dr, cr, minor)| {
                let (dr, cr) = (account(owner, dr), account(owner, cr));
                let day = BusinessDay::from_number(1);
                Transfer::new(dr, cr, Amount::from_minor(minor), Why::Ride, 86_400, day).unwrap()
            });
            let key = SourceKey::new(format!("event/{n}")).unwrap();
            Group::new(GroupKind::Ride, key, legs.collect()).unwrap()
        }).collect()
    }
}

fn posted<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Books {
    let mut books = Books::new();
    for group in groups {
        books.post(group).unwrap();
        assert_eq!(
            books.trial_balance().unwrap().difference(),
            Ok(Amount::ZERO)
        );
    }
    books
}

proptest! {
    #[test]
    fn any_sequence_of_postings_conserves_money(groups in groups()) {
        let trial = posted(&groups).trial_balance().unwrap();
        prop_assert_eq!(trial.total_dr(), trial.total_cr());
    }

    #[test]
    fn counters_are_the_fold_of_the_transfers(groups in groups()) {
        let books = posted(&groups);
        for owner in 0..6 {
            for pick in 0..4 {
                let id = account(owner, pick);
                let mut fold = Delta::ZERO;
                for leg in groups.iter().flat_map(Group::legs) {
                    fold = fold.plus(Delta::of(leg, id)).unwrap();
                }
                let expected = Counters { posted_dr: fold.dr, posted_cr: fold.cr, ..Counters::ZERO };
                prop_assert_eq!(books.counters(id), expected);
            }
        }
    }

    #[test]
    fn permuted_and_repeated_postings_give_identical_books(
        (groups, shuffled) in groups().prop_flat_map(|groups| {
            let twice: Vec<Group> = groups.iter().chain(&groups).cloned().collect();
            (Just(groups), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(posted(&groups), posted(&shuffled));
    }
}

#[test]
fn a_second_story_about_one_event_is_a_conflict_and_changes_nothing() {
    let story = |minor| {
        let day = BusinessDay::from_number(1);
        let leg = Transfer::new(
            account(1, 0),
            account(1, 1),
            Amount::from_minor(minor),
            Why::Ride,
            9,
            day,
        );
        let key = SourceKey::new("ferry-1/00/1").unwrap();
        Group::new(GroupKind::Ride, key, vec![leg.unwrap()]).unwrap()
    };
    let mut books = Books::new();
    assert_eq!(
        books.post(&story(200)),
        Ok(Posting::Posted { forced: vec![] })
    );
    let before = books.clone();
    assert_eq!(
        books.post(&story(300)),
        Err(PostRefused::Conflict("ferry-1/00/1".into()))
    );
    assert_eq!(books, before);
}
