//! What the demo claims, each claim by itself.

use obol_console::unix_now;
use obol_world::{Network, forge};
use serde_json::Value;

use crate::stage::{Stage, amounts, eventually, granted, json, names, refused};

#[test]
fn the_bank_tells_three_times_and_the_wallet_is_credited_once() {
    let stage = Stage::running(&[]);
    let ada = stage.world.passenger("ada");
    ada.enrol().unwrap();
    assert_eq!(amounts(&ada), [0; 0]);
    ada.recharge("50.00").unwrap();
    stage
        .world
        .wait_for_log("bank", "notice delivered", 3)
        .unwrap();

    let lines = ada.statement().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].kind, "recharge");
    assert_eq!(
        (lines[0].amount_minor, lines[0].balance_minor),
        (5_000, 5_000)
    );
    let log = stage.world.log("platform").unwrap();
    assert_eq!(log.matches("notice booked").count(), 1, "{log}");
    assert_eq!(log.matches("notice repeated, nothing changed").count(), 2);
}

#[test]
fn paying_alone_credits_nothing_before_the_bank_has_told() {
    let mut stage = Stage::running(&[]);
    let ada = stage.world.passenger("ada");
    ada.enrol().unwrap();
    let order = ada.order("50.00").unwrap();
    stage.world.kill("platform").unwrap();
    let amount = order.amount_minor.to_string();
    let pay = [
        "pay",
        "--bank",
        &order.pay_url,
        "--order",
        &order.order,
        "--amount-minor",
        &amount,
        "--currency",
        &order.currency,
        "--notify-url",
        &order.notify_url,
    ];
    stage.world.tool("bank-simulator").succeed(&pay).unwrap();
    stage
        .world
        .wait_for_log("bank", "notice not taken", 1)
        .unwrap();
    stage.world.start_platform().unwrap();
    // The bank asks again by itself; its word, and nothing else, brings the money.
    eventually("the bank is heard", || amounts(&ada) == [5_000]);
}

#[test]
fn each_credential_is_for_a_fresh_device_key() {
    let stage = Stage::running(&[]);
    let ada = stage.rider("ada");
    let first = names(&ada.text().unwrap());
    ada.refresh().unwrap();
    let second = names(&ada.text().unwrap());
    assert_ne!(first.0, second.0, "status index");
    assert_ne!(first.1, second.1, "device key");
    assert_ne!(first.2, second.2, "cti");
}

#[test]
fn a_code_is_found_in_its_picture_verified_journalled_and_granted() {
    let stage = Stage::running(&["bus-1"]);
    let code = stage.rider("ada").show("first.png").unwrap();
    let bus = stage.world.terminal("bus-1");
    assert_eq!(bus.scan(&code).unwrap(), granted(1));
    let checked = json(&bus.run(&["journal", "check"]).unwrap());
    assert_eq!(
        (&checked["result"], &checked["records"]),
        (&"whole".into(), &1.into())
    );
    assert_eq!(checked["watermark"], 0);
}

#[test]
fn a_ride_without_any_network_is_granted() {
    let mut stage = Stage::running(&["bus-2"]);
    let ada = stage.rider("ada");
    stage.world.stop_online().unwrap();
    let code = ada.show("offline.png").unwrap();
    let mut bus = stage.world.terminal("bus-2");
    if Network::none_is_allowed(&stage.world) {
        bus = bus.on(Network::None);
    } else {
        eprintln!("SKIPPED IN PART: this machine allows no network namespace (unshare --net);");
        eprintln!("the ride was taken with issuer and platform stopped instead");
    }
    assert_eq!(bus.scan(&code).unwrap(), granted(1));
}

#[test]
fn in_its_network_namespace_a_terminal_reaches_nobody() {
    let stage = Stage::running(&["bus-2"]);
    if !Network::none_is_allowed(&stage.world) {
        eprintln!("SKIPPED: this machine allows no network namespace (unshare --net)");
        return;
    }
    stage.world.terminal("bus-2").sync().unwrap();
    let ran = stage
        .world
        .terminal("bus-2")
        .on(Network::None)
        .run(&["sync"]);
    let (error, help) = crate::stage::two_lines(&ran.unwrap(), 2);
    let issuer = format!(
        "https://localhost:{}/v1/trust-bundle",
        stage.world.ports.issuer
    );
    assert!(
        error.starts_with(&format!("cannot reach {issuer}: ")),
        "{error}"
    );
    assert_eq!(
        help,
        "check that the service runs and that host and port are right"
    );
}

#[test]
fn a_replayed_code_is_refused() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let code = ada.show("code.png").unwrap();
    let bus = stage.world.terminal("bus-1");
    assert_eq!(bus.scan(&code).unwrap(), granted(1));
    // Each scan is a process of its own: the journal remembers, not the memory.
    assert_eq!(bus.scan(&code).unwrap(), refused("DUPLICATE"));
    assert_eq!(bus.scan(&code).unwrap(), refused("DUPLICATE"));
    assert_eq!(json(&bus.run(&["journal", "check"]).unwrap())["records"], 1);
}

#[test]
fn a_stale_code_is_refused() {
    let stage = Stage::running(&["bus-1"]);
    let code = stage.rider("ada").show_with_clock_off_by("stale.png", -120);
    let bus = stage.world.terminal("bus-1");
    assert_eq!(bus.scan(&code.unwrap()).unwrap(), refused("CODE_STALE"));
    assert_eq!(json(&bus.run(&["journal", "check"]).unwrap())["records"], 0);
}

#[test]
fn a_code_of_the_future_is_refused() {
    let stage = Stage::running(&["bus-1"]);
    let code = stage.rider("ada").show_with_clock_off_by("early.png", 120);
    let bus = stage.world.terminal("bus-1");
    assert_eq!(bus.scan(&code.unwrap()).unwrap(), refused("CODE_FUTURE"));
}

#[test]
fn a_forged_code_is_refused() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let picture = ada.folder().join("forged.png");
    forge(&ada.text().unwrap(), unix_now(), &picture).unwrap();
    let bus = stage.world.terminal("bus-1");
    assert_eq!(bus.scan(&picture).unwrap(), refused("DEVICE_SIG"));
    assert_eq!(json(&bus.run(&["journal", "check"]).unwrap())["records"], 0);
}

#[test]
fn an_upload_repeated_changes_nothing() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    let bus = stage.world.terminal("bus-1");
    let journal = stage.world.folder().join("bus-1/journal.sqlite");
    let before = std::fs::read(&journal).unwrap();
    let done = bus.upload().unwrap();
    assert_eq!(
        (&done["records"], &done["watermark"]),
        (&1.into(), &1.into())
    );
    let again = bus.upload().unwrap();
    assert_eq!(
        (&again["records"], &again["watermark"]),
        (&0.into(), &1.into())
    );

    // A terminal that never saw the acknowledgement sends the very same record again.
    std::fs::write(&journal, before).unwrap();
    let lost = bus.upload().unwrap();
    assert_eq!(
        (&lost["records"], &lost["watermark"]),
        (&1.into(), &1.into())
    );
    let log = stage.world.log("platform").unwrap();
    assert!(
        log.contains("accepted=0 duplicate=1 conflict=0 rejected=0 watermark=1"),
        "{log}"
    );
    assert_eq!(amounts(&ada), [5_000, -200]);
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
}

#[test]
fn the_trial_balance_is_zero() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    stage.world.terminal("bus-1").upload().unwrap();
    let asked = ["trial-balance", "--config", "platform.toml", "--json"];
    let trial = json(&stage.world.tool("obol-platform").succeed(&asked).unwrap());
    let sum = |key: &str| trial[key].as_i64().unwrap();
    assert_eq!(sum("debit_minor") - sum("credit_minor"), 0, "{trial}");
    assert_eq!(sum("debit_minor"), 5_200);
    let balance = |name: &str| -> Value {
        let lines = trial["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == name);
        line.unwrap_or_else(|| panic!("no {name}: {trial}"))["balance_minor"].clone()
    };
    assert_eq!(balance("channel clearing"), 5_000);
    assert_eq!(balance("passenger wallets"), 4_800);
    assert_eq!(balance("operator fare clearing"), 200);
    stage.world.check_books().unwrap();
}

#[test]
fn the_statement_says_what_was_paid_and_ridden() {
    let stage = Stage::running(&["bus-1", "bus-2"]);
    let ada = stage.rider("ada");
    stage.ride(&ada, "bus-1", 1);
    stage.ride(&ada, "bus-2", 1);
    stage.world.terminal("bus-1").upload().unwrap();
    stage.world.terminal("bus-2").upload().unwrap();
    assert_eq!(amounts(&ada), [5_000, -200, -200]);
    let printed = ada.printed_statement().unwrap();
    let columns = |word: &str| -> Vec<String> {
        let lines = printed.lines().filter(|line| line.contains(word));
        let columns = |line: &str| {
            let before_rule = line.split("  rule ").next().unwrap();
            before_rule
                .split_whitespace()
                .rev()
                .skip(1)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        lines.map(columns).collect()
    };
    assert_eq!(columns("  recharge "), ["50.00 50.00"], "{printed}");
    assert_eq!(
        columns("  ride "),
        ["48.00 -2.00", "46.00 -2.00"],
        "{printed}"
    );
    let closing = printed.lines().last().unwrap().split_whitespace();
    assert_eq!(closing.collect::<Vec<_>>(), ["closing", "balance", "46.00"]);
}
