//! The same rides end in the same books.

use std::{fs, path::Path};

use obol_world::{Passenger, World};
use serde_json::Value;

use crate::stage::{Stage, amounts, granted, json};

#[test]
fn the_same_code_on_two_terminals_is_charged_once_and_a_fraud_case_stands() {
    let mut stage = Stage::running(&["bus-1", "bus-2"]);
    let ada = stage.rider("ada");
    stage.world.stop_online().unwrap();
    let code = ada.show("filmed.png").unwrap();
    for bus in ["bus-1", "bus-2"] {
        assert_eq!(stage.world.terminal(bus).scan(&code).unwrap(), granted(1));
    }
    stage.world.start_online().unwrap();
    stage.world.terminal("bus-2").upload().unwrap();
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
    stage.world.terminal("bus-1").upload().unwrap();
    assert_eq!(stage.world.fraud_cases().unwrap().len(), 1);
    for bus in ["bus-1", "bus-2"] {
        let again = stage.world.terminal(bus).upload().unwrap();
        assert_eq!(again["records"], 0);
    }
    assert_eq!(amounts(&ada), [5_000, -200]);
    let cases = stage.world.fraud_cases().unwrap();
    assert_eq!(cases.len(), 1, "{cases:?}");
    assert!(cases[0].contains(" SecondUse credential "), "{cases:?}");
    stage.world.check_books().unwrap();
}

/// What must not depend on the order of uploads. What was posted and taken back again, because
/// the later of two rides came first, stands in the ledger's turnover alone.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    statement: String,
    balances: Vec<(String, i64)>,
    fraud: Vec<String>,
}

impl Books {
    fn of(world: &World, rider: &Passenger) -> Self {
        // The time of notice stands before each case.
        let case = |line: &String| line.split_once("Z ").unwrap().1.to_owned();
        Self {
            statement: rider.printed_statement().unwrap(),
            balances: balances(world),
            fraud: world.fraud_cases().unwrap().iter().map(case).collect(),
        }
    }
}

fn balances(world: &World) -> Vec<(String, i64)> {
    let asked = ["trial-balance", "--config", "platform.toml", "--json"];
    let trial = json(&world.tool("obol-platform").succeed(&asked).unwrap());
    let line = |line: &Value| {
        let name = line["name"].as_str().unwrap().to_owned();
        (name, line["balance_minor"].as_i64().unwrap())
    };
    trial["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

#[test]
fn uploads_in_any_order_end_in_the_same_statement() {
    const BUSES: [&str; 3] = ["bus-1", "bus-2", "bus-3"];
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let mut stage = Stage::running(&BUSES);
    let ada = stage.rider("ada");
    for bus in BUSES {
        stage.ride(&ada, bus, 1);
    }
    ada.refresh().unwrap();
    let filmed = ada.show("filmed.png").unwrap();
    for bus in &BUSES[1..] {
        assert_eq!(stage.world.terminal(bus).scan(&filmed).unwrap(), granted(2));
    }
    stage.world.stop_online().unwrap();
    let before = Snapshot::of(stage.world.folder(), &BUSES);
    let mut ends = Vec::new();
    for order in ORDERS {
        before.restore(stage.world.folder());
        stage.world.start_online().unwrap();
        for bus in order {
            stage.world.terminal(BUSES[bus]).upload().unwrap();
        }
        stage.world.check_books().unwrap();
        ends.push(Books::of(&stage.world, &ada));
        stage.world.stop_online().unwrap();
    }
    assert_eq!(
        ends[0].statement.matches("  ride  ").count(),
        4,
        "{:?}",
        ends[0]
    );
    assert!(
        ends[0].statement.trim_end().ends_with(" 42.00"),
        "{:?}",
        ends[0]
    );
    assert_eq!(ends[0].fraud.len(), 1, "{:?}", ends[0]);
    for (end, order) in ends.iter().zip(ORDERS) {
        assert_eq!(end, &ends[0], "uploaded in the order {order:?}");
    }
}

/// The platform's database and the journals, as they were before any upload.
struct Snapshot(Vec<(String, Option<Vec<u8>>)>);

impl Snapshot {
    fn of(folder: &Path, buses: &[&str]) -> Self {
        let database = ["platform.db", "platform.db-wal", "platform.db-shm"];
        let journals = buses.iter().map(|bus| format!("{bus}/journal.sqlite"));
        let names = database.into_iter().map(str::to_owned).chain(journals);
        Self(
            names
                .map(|name| {
                    let bytes = fs::read(folder.join(&name)).ok();
                    (name, bytes)
                })
                .collect(),
        )
    }

    fn restore(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            match bytes {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None if path.exists() => fs::remove_file(path).unwrap(),
                None => {}
            }
        }
    }
}
