//! Uploads over a network that breaks.

use std::{thread, time::Duration};

use obol_world::Terminal;

use crate::{
    proxy::Proxy,
    stage::{Stage, amounts, eventually, json, two_lines},
};

const RIDES: u64 = 8;
/// Less than a segment of so many rides has, so that several cuts fall into its middle.
const STEP: usize = 400;

/// A stage with rides that wait on bus-1, whose way to the platform leads over the proxy.
fn waiting() -> (Stage, Proxy, Terminal) {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    for seq in 1..=RIDES {
        stage.ride(&ada, "bus-1", seq);
    }
    let proxy = Proxy::to(stage.world.ports.terminals);
    let direct = format!(
        "platform_url = \"https://localhost:{}\"",
        stage.world.ports.terminals
    );
    let over_proxy = format!("platform_url = \"https://localhost:{}\"", proxy.port);
    let provisioning = stage.read("bus-1/terminal.toml");
    assert!(provisioning.contains(&direct));
    stage.write(
        "bus-1/terminal.toml",
        &provisioning.replace(&direct, &over_proxy),
    );
    let bus = stage.world.terminal("bus-1");
    (stage, proxy, bus)
}

/// An upload that must fail in two lines, and whether the platform has taken the rides.
fn fails(stage: &Stage, proxy: &Proxy, bus: &Terminal) -> Vec<i64> {
    let (error, help) = two_lines(&bus.run(&["upload"]).unwrap(), 2);
    let url = format!("https://localhost:{}/v1/segments", proxy.port);
    let said = [
        (
            format!("cannot reach {url}: "),
            "check that the service runs and that host and port are right",
        ),
        (
            format!("the connection to {url} broke: "),
            "try again: requests are made to be repeated",
        ),
    ];
    let fits =
        |(begin, advice): &(String, &str)| error.starts_with(begin.as_str()) && help == *advice;
    assert!(said.iter().any(fits), "{error}\n{help}");
    let checked = json(&bus.run(&["journal", "check"]).unwrap());
    assert_eq!(
        (&checked["records"], &checked["watermark"]),
        (&RIDES.into(), &0.into())
    );
    amounts(&stage.world.passenger("ada"))
}

fn all() -> Vec<i64> {
    [5_000]
        .into_iter()
        .chain([-200].repeat(RIDES as usize))
        .collect()
}

#[test]
fn an_upload_cut_anywhere_on_its_way_loses_nothing_and_is_taken_whole() {
    let (stage, proxy, bus) = waiting();
    let mut cuts = Vec::new();
    let total = loop {
        let cut = (cuts.len() + 1) * STEP;
        proxy.cut_after(cut, usize::MAX);
        let ran = bus.run(&["upload"]).unwrap();
        if ran.code == 0 {
            assert_eq!(json(&ran)["watermark"], RIDES);
            break proxy.passed().0;
        }
        let found = fails(&stage, &proxy, &bus);
        // A cut behind the last byte takes only the answer away; before it nothing may be taken.
        let taken = found == all() && proxy.passed().0 == cut;
        assert!(
            found == [5_000] || taken,
            "half an upload was taken: {found:?}"
        );
        cuts.push(cut);
    };
    let segment = 300 * RIDES as usize;
    let within = cuts
        .iter()
        .filter(|cut| (total - segment..total).contains(cut))
        .count();
    assert!(within >= 4, "cuts at {cuts:?} of {total} bytes");
    assert_eq!(amounts(&stage.world.passenger("ada")), all());
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
}

#[test]
fn an_acknowledgement_that_is_lost_is_given_again_and_charges_once() {
    let (stage, proxy, bus) = waiting();
    // The answer to an upload that came whole is cut somewhere; the handshake takes the most.
    let mut lost = 0;
    for cut in (STEP / 2..).step_by(STEP / 2) {
        proxy.cut_after(usize::MAX, cut);
        let ran = bus.run(&["upload"]).unwrap();
        if ran.code == 0 {
            assert_eq!(json(&ran)["watermark"], RIDES);
            break;
        }
        let found = fails(&stage, &proxy, &bus);
        assert!(
            found == [5_000] || found == all(),
            "half an upload was taken: {found:?}"
        );
        lost += usize::from(found == all());
    }
    assert!(lost > 0, "no acknowledgement was lost on its way");
    assert_eq!(amounts(&stage.world.passenger("ada")), all());
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
    let again = bus.upload().unwrap();
    assert_eq!(
        (&again["records"], &again["watermark"]),
        (&0.into(), &RIDES.into())
    );
}

#[test]
fn an_upload_that_goes_on_by_itself_comes_through_when_the_network_is_back_and_charges_once() {
    let (stage, proxy, bus) = waiting();
    proxy.cut_after(2 * STEP, usize::MAX);
    let uploading = bus.keep_uploading().unwrap();
    eventually("a first attempt", || proxy.passed().0 > 0);
    assert_eq!(amounts(&stage.world.passenger("ada")), [5_000]);
    // Now the answers get lost, which the platform cannot know.
    proxy.cut_after(usize::MAX, 3 * STEP);
    thread::sleep(Duration::from_secs(3));
    proxy.cut_after(usize::MAX, usize::MAX);
    let all_held = || json(&bus.run(&["journal", "check"]).unwrap())["watermark"] == RIDES;
    eventually("everything acknowledged", all_held);
    uploading.kill().unwrap();
    assert_eq!(amounts(&stage.world.passenger("ada")), all());
    assert_eq!(stage.world.fraud_cases().unwrap(), [""; 0]);
}
