//! Fares of rides that transfer.

use obol_credential::UnixTime;
use obol_fare::{
    ClassSet, FarePack, FareRule, Journey, Quote, RuleId, Transfer, TransferFare, TransferRule,
    price,
};
use proptest::prelude::*;

use crate::prices::{boarding, plain};

const START: u32 = 1_000_000;

fn transfer(fare: TransferFare) -> Transfer {
    Transfer {
        id: RuleId(90),
        within_s: 3_600,
        most: 2,
        fare,
    }
}

fn pack(fare: TransferFare, own_minor: u32) -> FarePack {
    let mut tariff = plain(vec![
        FareRule::flat(RuleId(1), 1, own_minor),
        FareRule::flat(RuleId(2), 2, own_minor * 2),
    ]);
    let classes = ClassSet(0b110);
    tariff.transfers = vec![TransferRule {
        classes,
        transfer: transfer(fare),
    }];
    FarePack::new(tariff).unwrap()
}

/// Rule and amount of rides at so many seconds after the first, each of one class.
fn charged(pack: &FarePack, rides: &[(u8, u32)]) -> Vec<(u16, u32)> {
    let mut so_far = None;
    let mut fares = Vec::new();
    for (class, after) in rides {
        let quote = price(pack, boarding(*class, 0, START + after)).unwrap();
        let (fare, journey) = Journey::ride(so_far, &quote);
        so_far = Some(journey);
        fares.push((fare.rule.0, fare.amount_minor));
    }
    fares
}

#[test]
fn a_transfer_is_free_to_the_last_second_of_its_window_and_not_one_later() {
    let pack = pack(TransferFare::Free, 200);
    let rides = [(1, 0), (1, 3_600)];
    assert_eq!(charged(&pack, &rides), [(1, 200), (90, 0)]);
    let rides = [(1, 0), (1, 3_601)];
    assert_eq!(charged(&pack, &rides), [(1, 200), (1, 200)]);
    // In the very second of the first ride, as well.
    assert_eq!(charged(&pack, &[(1, 0), (1, 0)]), [(1, 200), (90, 0)]);
}

#[test]
fn the_window_begins_with_the_journeys_first_ride_and_not_with_the_last() {
    let pack = pack(TransferFare::Free, 200);
    let rides = [(1, 0), (1, 3_000), (1, 3_601), (1, 7_201)];
    let expected = [(1, 200), (90, 0), (1, 200), (90, 0)];
    assert_eq!(charged(&pack, &rides), expected);
}

#[test]
fn after_as_many_transfers_as_are_allowed_a_new_journey_begins() {
    let pack = pack(TransferFare::Free, 200);
    let rides = [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)];
    let expected = [(1, 200), (90, 0), (90, 0), (1, 200), (90, 0)];
    assert_eq!(charged(&pack, &rides), expected);
}

#[test]
fn a_difference_is_paid_up_to_the_dearest_ride_of_the_journey() {
    let pack = pack(TransferFare::Difference, 200);
    // Class 2 stands here for a dearer zone: 400.
    let rides = [(1, 0), (2, 1), (1, 2)];
    assert_eq!(charged(&pack, &rides), [(1, 200), (90, 200), (90, 0)]);
}

#[test]
fn a_discount_is_taken_off_and_never_pays_out() {
    let fares = |own| charged(&pack(TransferFare::Discount(150), own), &[(1, 0), (1, 1)])[1];
    assert_eq!(fares(200), (90, 50));
    assert_eq!(fares(150), (90, 0));
    assert_eq!(fares(100), (90, 0));
}

#[test]
fn a_class_without_a_transfer_rule_pays_each_ride() {
    let mut tariff = plain(vec![FareRule::flat(RuleId(1), 1, 200)]);
    tariff.transfers = vec![TransferRule {
        classes: ClassSet(0b100),
        transfer: transfer(TransferFare::Free),
    }];
    let pack = FarePack::new(tariff).unwrap();
    assert_eq!(charged(&pack, &[(1, 0), (1, 1)]), [(1, 200), (1, 200)]);
}

#[test]
fn a_ride_before_the_journey_it_is_given_begins_a_new_one() {
    let pack = pack(TransferFare::Free, 200);
    let quote = |at| price(&pack, boarding(1, 0, at)).unwrap();
    let (_, journey) = Journey::ride(None, &quote(START));
    let (fare, _) = Journey::ride(Some(journey), &quote(START - 1));
    assert_eq!(fare.rule, RuleId(1));
}

fn fare() -> impl Strategy<Value = TransferFare> {
    prop_oneof![
        Just(TransferFare::Free),
        Just(TransferFare::Difference),
        any::<u32>().prop_map(TransferFare::Discount),
    ]
}

fn quote() -> impl Strategy<Value = Quote> {
    let transfer = (1..=Transfer::WITHIN_MAX_S, 1..=u8::MAX, fare());
    let transfer = transfer.prop_map(|(within_s, most, fare)| Transfer {
        id: RuleId(90),
        within_s,
        most,
        fare,
    });
    (any::<u32>(), any::<u32>(), proptest::option::of(transfer)).prop_map(
        |(at, amount_minor, transfer)| Quote {
            at: UnixTime(at % 100_000),
            fare: obol_fare::Fare {
                amount_minor,
                rule: RuleId(1),
                pack_id: obol_fare::PackId([0; 8]),
            },
            transfer,
        },
    )
}

proptest! {
    #[test]
    fn no_ride_costs_more_than_its_own_fare_and_each_names_the_rule_that_says_so(
        rides in proptest::collection::vec(quote(), 0..12)
    ) {
        let mut so_far = None;
        for ride in &rides {
            let (fare, journey) = Journey::ride(so_far, ride);
            prop_assert_eq!(Journey::ride(so_far, ride), (fare, journey));
            prop_assert!(fare.amount_minor <= ride.fare.amount_minor);
            if fare.rule == ride.fare.rule {
                prop_assert_eq!(fare, ride.fare);
            } else {
                let transfer = ride.transfer.unwrap();
                prop_assert_eq!(fare.rule, transfer.id);
                prop_assert!(transfer.fare.may_be(fare.amount_minor, ride.fare.amount_minor));
            }
            so_far = Some(journey);
        }
    }
}
