//! What a ride costs, from the tariff's file to the statement.

use obol_console::unix_now;
use obol_world::Scan;

use crate::stage::{Stage, amounts};

const CITY: &str = include_str!("../../policies/tariffs/city.toml");

/// The city tariff on a clock by which it is noon now: off-peak.
fn at_noon() -> String {
    const HOUR_S: u32 = 3_600;
    let hour = i64::from(unix_now() % 86_400 / HOUR_S);
    let ahead = 12 - hour;
    let sign = if ahead < 0 { '-' } else { '+' };
    let offset = format!("utc_offset = \"{sign}{:02}:00\"", ahead.abs());
    assert!(CITY.contains("utc_offset = \"+08:00\""));
    CITY.replacen("utc_offset = \"+08:00\"", &offset, 1)
}

fn granted(fare_minor: u64) -> Scan {
    Scan::Granted { seq: 1, fare_minor }
}

#[test]
fn a_concession_pays_off_peak_and_rides_on_for_nothing_on_another_bus() {
    let buses = ["bus-1", "bus-2"];
    let mut stage = Stage::running(&buses);
    stage.world.kill("platform").unwrap();
    stage.world.set_tariff(&at_noon(), 2);
    stage.world.start_platform().unwrap();
    for bus in buses {
        stage.world.terminal(bus).sync().unwrap();
    }
    let ada = stage.rider("ada");
    for bus in buses {
        // Another credential each time: neither bus can know of the other's ride.
        ada.refresh().unwrap();
        let code = ada.show("ride.png").unwrap();
        let scan = stage.world.terminal(bus).scan(&code).unwrap();
        assert_eq!(scan, granted(100), "{bus}");
    }
    // The second bus has a network first: until the other ride is known, this one is the first.
    stage.world.terminal("bus-2").upload().unwrap();
    assert_eq!(amounts(&ada), [5_000, -100]);
    stage.world.terminal("bus-1").upload().unwrap();
    assert_eq!(amounts(&ada), [5_000, -100, 0]);
    let printed = ada.printed_statement().unwrap();
    let rules: Vec<_> = printed
        .lines()
        .filter_map(|line| line.split_once("  rule ").map(|(_, rule)| rule))
        .collect();
    assert_eq!(rules, ["21", "91"], "{printed}");
    stage.world.terminal("bus-2").upload().unwrap();
    assert_eq!(amounts(&ada), [5_000, -100, 0]);
    stage.world.check_books().unwrap();
}
