//! What a terminal charges: by zone, and for transfers from rides that it knows itself.

use obol_fare::{
    ClassSet, Currency, FarePack, FareRule, RuleId, Tariff, Transfer, TransferFare, TransferRule,
    ZoneSet,
};
use obol_pos_sdk::{Passback, RefusalCode, Terminal, UnixTime, WithinInterval, Zone};
use obol_tap::{FLAG_COMPANION, TapRecord};

use crate::world::{Phone, T, World, open, rules, trust};

const DEAR: u8 = 2;

fn zone(number: u8) -> Zone {
    Zone::new(number).unwrap()
}

/// 2.00, in zone 1 3.00, in zone 2 more than any credential permits; one free transfer an hour.
fn pack() -> FarePack {
    let in_zone = |id, number, amount_minor| FareRule {
        zones: ZoneSet::of(&[zone(number)]),
        ..FareRule::flat(RuleId(id), 1, amount_minor)
    };
    let flat = FareRule::flat(RuleId(10), 1, 200);
    let rules = vec![in_zone(11, 1, 300), in_zone(12, DEAR, u32::MAX), flat];
    let cny = Currency::new("CNY").unwrap();
    let mut tariff = Tariff::plain(cny, T.minus(86_400), T.plus(86_400), rules);
    let transfer = Transfer {
        id: RuleId(90),
        within_s: 3_600,
        most: 1,
        fare: TransferFare::Free,
    };
    tariff.transfers = vec![TransferRule {
        classes: ClassSet::of(1),
        transfer,
    }];
    FarePack::new(tariff).unwrap()
}

fn charging() -> World {
    let mut world = World::new();
    world.terminal().charge_by(pack());
    world
}

fn ride(world: &mut World, phone: &Phone, at: UnixTime) -> TapRecord {
    let code = phone.code(at, at.0 - T.0 + 1);
    world.grant(&code, at).record
}

fn charged(record: &TapRecord) -> (u16, u32) {
    (record.fare.rule, record.fare.amount_minor)
}

#[test]
fn a_ride_is_charged_and_recorded_by_the_zone_the_terminal_stands_in() {
    let mut world = charging();
    let nowhere = world.phone(1);
    let first = ride(&mut world, &nowhere, T);
    assert_eq!((first.zone, charged(&first)), (Some(0), (10, 200)));
    world.terminal().enter_zone(zone(1));
    let somewhere = world.phone(2);
    let second = ride(&mut world, &somewhere, T);
    assert_eq!((second.zone, charged(&second)), (Some(1), (11, 300)));
}

#[test]
fn a_transfer_on_the_same_terminal_is_free_once_and_to_the_second() {
    let mut world = charging();
    let phone = world.phone(1);
    let fares = [0, 3_600, 3_601 + 300].map(|after| {
        let record = ride(&mut world, &phone, T.plus(after));
        charged(&record)
    });
    assert_eq!(fares, [(10, 200), (90, 0), (10, 200)]);
    let mut world = charging();
    let late = world.phone(2);
    let fares = [0, 3_601].map(|after| charged(&ride(&mut world, &late, T.plus(after))));
    assert_eq!(fares, [(10, 200), (10, 200)]);
}

#[test]
fn a_terminal_that_was_restarted_still_knows_the_journey() {
    let mut world = charging();
    let phone = world.phone(1);
    assert_eq!(charged(&ride(&mut world, &phone, T)), (10, 200));
    world.restart();
    world.terminal().charge_by(pack());
    assert_eq!(charged(&ride(&mut world, &phone, T.plus(400))), (90, 0));
}

#[test]
fn another_fare_pack_begins_a_journey_anew_on_the_bus() {
    let mut world = World::new();
    let phone = world.phone(1);
    ride(&mut world, &phone, T);
    world.terminal().charge_by(pack());
    assert_eq!(charged(&ride(&mut world, &phone, T.plus(400))), (10, 200));
}

#[test]
fn a_transfer_does_not_lift_the_cap_on_the_rides_own_fare() {
    let mut world = charging();
    let phone = world.phone(1);
    ride(&mut world, &phone, T);
    world.terminal().enter_zone(zone(DEAR));
    let at = T.plus(400);
    assert_eq!(world.refuse(&phone.code(at, 2), at), RefusalCode::Cap);
}

#[test]
fn a_companion_pays_and_does_not_use_the_riders_transfer_up() {
    let mut world = World::new();
    world.stop();
    let mut rules = rules();
    rules.passback[1] = Passback {
        interval_s: 300,
        within: WithinInterval::Companion,
    };
    let journal = open(&world.path());
    let trust = trust(&world.issuing);
    world.terminal = Some(Terminal::new(rules, trust, Some(pack()), journal).unwrap());
    let phone = world.phone(1);
    assert_eq!(charged(&ride(&mut world, &phone, T)), (10, 200));
    let companion = ride(&mut world, &phone, T.plus(10));
    assert_eq!(companion.flags & FLAG_COMPANION, FLAG_COMPANION);
    assert_eq!(charged(&companion), (10, 200));
    assert_eq!(charged(&ride(&mut world, &phone, T.plus(400))), (90, 0));
}
