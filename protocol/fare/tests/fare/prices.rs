//! Fares of single rides, by the city tariff that is shipped and by small ones made here.

use obol_credential::UnixTime;
use obol_fare::{
    Boarding, ClassSet, Currency, DAY_S, Date, DayException, DaySet, DayType, FareError, FarePack,
    FareRule, OffsetChange, RuleId, Tariff, TimeWindow, Zone, ZoneSet, price, tariff,
};

const CITY: &str = include_str!("../../../../policies/tariffs/city.toml");

const HOUR_S: u32 = 3_600;
/// Local midnight in Shanghai at the beginning of Monday 2026-03-02.
const MONDAY: u32 = 1_772_380_800;
const _: () = assert!((MONDAY + 8 * HOUR_S).is_multiple_of(DAY_S));

pub(crate) fn boarding(class: u8, zone: u8, at: u32) -> Boarding {
    Boarding {
        class,
        zone: Zone::new(zone).unwrap(),
        at: UnixTime(at),
    }
}

/// Rule and amount, `None` for no fare.
fn charged(pack: &FarePack, class: u8, zone: u8, at: u32) -> Option<(u16, u32)> {
    match price(pack, boarding(class, zone, at)) {
        Ok(quote) => Some((quote.fare.rule.0, quote.fare.amount_minor)),
        Err(FareError::Unknown(unknown)) => {
            assert_eq!(unknown, boarding(class, zone, at));
            None
        }
    }
}

fn clock(text: &str) -> u32 {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
    parts[0] * HOUR_S + parts[1] * 60 + parts[2]
}

#[test]
fn each_product_of_the_city_tariff_costs_what_it_says() {
    let pack = tariff::compile(CITY).unwrap();
    let saturday = 5;
    for (class, zone, day, time, rule, minor) in [
        (1, 1, 0, "08:00:00", 10, 400), // adult, inner zone, peak
        (1, 2, 4, "17:00:00", 10, 400),
        (1, 1, 0, "12:00:00", 11, 300), // off-peak
        (1, 1, saturday, "08:00:00", 11, 300),
        (1, 3, 0, "08:00:00", 12, 200), // outer zones have no peak
        (1, 0, 0, "08:00:00", 12, 200),
        (2, 1, 0, "08:00:00", 20, 150), // concession, wherever
        (2, 0, 0, "12:00:00", 21, 100),
        (2, 63, saturday, "17:00:00", 21, 100),
    ] {
        let at = MONDAY + day * DAY_S + clock(time);
        let found = charged(&pack, class, zone, at);
        assert_eq!(
            found,
            Some((rule, minor)),
            "class {class} zone {zone} day {day} {time}"
        );
    }
}

#[test]
fn a_peak_holds_from_its_first_second_to_the_one_before_its_end() {
    let pack = tariff::compile(CITY).unwrap();
    for (time, minor) in [
        ("00:00:00", 100),
        ("06:59:59", 100),
        ("07:00:00", 150),
        ("09:29:59", 150),
        ("09:30:00", 100),
        ("16:29:59", 100),
        ("16:30:00", 150),
        ("18:59:59", 150),
        ("19:00:00", 100),
        ("23:59:59", 100),
    ] {
        let found = charged(&pack, 2, 0, MONDAY + clock(time)).unwrap();
        assert_eq!(found.1, minor, "{time}");
    }
}

#[test]
fn a_holiday_has_no_peak_and_a_saturday_that_is_worked_has() {
    let pack = tariff::compile(CITY).unwrap();
    let eight = |date: Date| u32::from(date.0) * DAY_S - 8 * HOUR_S + clock("08:00:00");
    let national_day = Date::from_civil(2026, 10, 1).unwrap(); // a Thursday
    assert_eq!(charged(&pack, 2, 0, eight(national_day)), Some((21, 100)));
    let worked = Date::from_civil(2026, 10, 10).unwrap();
    assert_eq!(charged(&pack, 2, 0, eight(worked)), Some((20, 150)));
    assert_eq!(
        charged(&pack, 2, 0, eight(Date(worked.0 - 7))),
        Some((21, 100))
    );
}

#[test]
fn a_class_that_no_rule_names_has_no_fare() {
    let pack = tariff::compile(CITY).unwrap();
    for class in (0..=u8::MAX).filter(|class| ![1, 2].contains(class)) {
        assert_eq!(charged(&pack, class, 1, MONDAY), None, "class {class}");
    }
}

#[test]
fn a_ride_outside_the_time_of_the_pack_has_no_fare() {
    let pack = tariff::compile(CITY).unwrap();
    let (from, until) = (pack.valid_from().0, pack.valid_until().0);
    assert_eq!(charged(&pack, 2, 0, from - 1), None);
    assert!(charged(&pack, 2, 0, from).is_some());
    assert!(charged(&pack, 2, 0, until).is_some());
    assert_eq!(charged(&pack, 2, 0, until + 1), None);
}

#[test]
fn a_zone_that_no_rule_names_has_no_fare() {
    let mut tariff = plain(vec![FareRule::flat(RuleId(1), 1, 200)]);
    tariff.rules[0].zones = ZoneSet::of(&[Zone::new(4).unwrap()]);
    let pack = FarePack::new(tariff).unwrap();
    for zone in 0..64 {
        let expected = (zone == 4).then_some((1, 200));
        assert_eq!(charged(&pack, 1, zone, 5), expected, "zone {zone}");
    }
}

#[test]
fn a_fare_for_some_hours_alone_is_no_fare_for_the_others() {
    let window = window(&DayType::ALL, 10, 20);
    let pack = FarePack::new(Tariff {
        offsets: vec![utc()],
        ..plain(vec![FareRule {
            times: vec![window],
            ..FareRule::flat(RuleId(1), 1, 200)
        }])
    });
    let pack = pack.unwrap();
    assert_eq!(charged(&pack, 1, 0, 9), None);
    assert_eq!(charged(&pack, 1, 0, 19), Some((1, 200)));
    assert_eq!(charged(&pack, 1, 0, 20), None);
}

#[test]
fn midnight_is_the_local_one() {
    let night = FareRule {
        times: vec![
            window(&[DayType::Friday], 22 * HOUR_S, DAY_S),
            window(&[DayType::Saturday], 0, 2 * HOUR_S),
        ],
        ..FareRule::flat(RuleId(7), 1, 700)
    };
    let day = FareRule::flat(RuleId(1), 1, 100);
    let pack = FarePack::new(Tariff {
        offsets: vec![OffsetChange {
            from: UnixTime(0),
            offset_s: 8 * 3_600,
        }],
        ..plain(vec![night, day])
    });
    let pack = pack.unwrap();
    let friday = MONDAY + 4 * DAY_S;
    for (at, rule) in [
        (friday - 1, 1),
        (friday, 1),
        (friday + 22 * HOUR_S - 1, 1),
        (friday + 22 * HOUR_S, 7),
        (friday + DAY_S - 1, 7),
        (friday + DAY_S, 7),
        (friday + 26 * HOUR_S - 1, 7),
        (friday + 26 * HOUR_S, 1),
    ] {
        assert_eq!(
            charged(&pack, 1, 0, at).unwrap().0,
            rule,
            "friday + {}",
            at - (friday - 1)
        );
    }
}

/// Berlin in 2026: clocks go forward on 29 March at 01:00 UTC and back on 25 October at 01:00 UTC.
const FORWARD: u32 = 1_774_746_000;
const BACK: u32 = 1_792_890_000;

/// Dearer from 02:30 to 03:30 by the clock on the wall.
fn berlin() -> FarePack {
    let offset = |from, hours: i32| OffsetChange {
        from: UnixTime(from),
        offset_s: hours * 3_600,
    };
    let dear = FareRule {
        times: vec![window(&DayType::ALL, 9_000, 12_600)],
        ..FareRule::flat(RuleId(2), 1, 300)
    };
    let tariff = Tariff {
        offsets: vec![offset(0, 1), offset(FORWARD, 2), offset(BACK, 1)],
        ..plain(vec![dear, FareRule::flat(RuleId(1), 1, 200)])
    };
    FarePack::new(tariff).unwrap()
}

#[test]
fn an_hour_that_the_clock_leaves_out_costs_nothing_extra() {
    let pack = berlin();
    // 01:59:59, then 03:00:00, which is within the span; it ends at 03:30.
    assert_eq!(charged(&pack, 1, 0, FORWARD - 1), Some((1, 200)));
    assert_eq!(charged(&pack, 1, 0, FORWARD), Some((2, 300)));
    assert_eq!(charged(&pack, 1, 0, FORWARD + 1_799), Some((2, 300)));
    assert_eq!(charged(&pack, 1, 0, FORWARD + 1_800), Some((1, 200)));
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_in_the_span_twice() {
    let pack = berlin();
    let rule = |at: u32| charged(&pack, 1, 0, at).unwrap().0;
    // 02:30 in summer time, 02:59:59, 02:00 in winter time, 02:30 and 03:30 in winter time.
    assert_eq!(rule(BACK - 1_801), 1);
    assert_eq!(rule(BACK - 1_800), 2);
    assert_eq!(rule(BACK - 1), 2);
    assert_eq!(rule(BACK), 1);
    assert_eq!(rule(BACK + 1_799), 1);
    assert_eq!(rule(BACK + 1_800), 2);
    assert_eq!(rule(BACK + 5_399), 2);
    assert_eq!(rule(BACK + 5_400), 1);
}

#[test]
fn the_first_rule_that_fits_is_the_one_that_counts() {
    let narrow = FareRule {
        zones: ZoneSet::of(&[Zone::new(1).unwrap()]),
        ..FareRule::flat(RuleId(2), 1, 300)
    };
    let wide = FareRule {
        classes: ClassSet(0b110),
        ..FareRule::flat(RuleId(1), 1, 200)
    };
    let pack = FarePack::new(plain(vec![narrow, wide])).unwrap();
    assert_eq!(charged(&pack, 1, 1, 5), Some((2, 300)));
    assert_eq!(charged(&pack, 2, 1, 5), Some((1, 200)));
    assert_eq!(charged(&pack, 1, 2, 5), Some((1, 200)));
}

#[test]
fn a_calendar_goes_on_to_the_last_second_of_32_bits() {
    let sunday = FareRule {
        times: vec![window(&[DayType::Holiday], 0, DAY_S)],
        ..FareRule::flat(RuleId(2), 1, 300)
    };
    let last_day = Date((u32::MAX / DAY_S) as u16);
    let pack = FarePack::new(Tariff {
        offsets: vec![utc()],
        days: vec![DayException {
            date: last_day,
            counts_as: DayType::Holiday,
        }],
        ..plain(vec![sunday, FareRule::flat(RuleId(1), 1, 200)])
    });
    assert_eq!(charged(&pack.unwrap(), 1, 0, u32::MAX), Some((2, 300)));
}

pub(crate) fn plain(rules: Vec<FareRule>) -> Tariff {
    let cny = Currency::new("CNY").unwrap();
    Tariff::plain(cny, UnixTime(0), UnixTime(u32::MAX), rules)
}

pub(crate) fn window(days: &[DayType], from_s: u32, until_s: u32) -> TimeWindow {
    TimeWindow {
        days: DaySet::of(days),
        from_s,
        until_s,
    }
}

pub(crate) fn utc() -> OffsetChange {
    OffsetChange {
        from: UnixTime(0),
        offset_s: 0,
    }
}
