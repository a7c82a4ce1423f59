//! A device that takes its time, or all of it.

use std::time::{Duration, Instant};

use obol_kms_client::wire::RefusalKind;

use crate::device::{Device, Refusal};

/// The daemon's deadline is 6 s and the client's 15 s: whatever ends before this was ended by the
/// daemon, on however busy a machine.
const CLIENTS_OWN: Duration = Duration::from_secs(14);

fn assert_ended_by_the_daemon(begun: Instant, refusal: &Refusal) {
    assert!(begun.elapsed() < CLIENTS_OWN, "{:?}", begun.elapsed());
    let kinds = [
        RefusalKind::Timeout,
        RefusalKind::TokenFailure,
        RefusalKind::Busy,
    ];
    assert!(kinds.contains(&refusal.kind), "{refusal:?}");
}

#[test]
fn a_slow_device_is_waited_for() {
    let device = Device::new();
    device.faults.set("C_Sign * delay 150");
    device.sign().unwrap();
}

#[test]
fn a_call_that_hangs_once_costs_its_worker_and_no_request() {
    let device = Device::new();
    device.faults.set("C_Sign 1 hang");
    device.sign().unwrap();
    assert_eq!(device.faults.calls("C_Initialize"), 1, "one new worker");
    assert_eq!(device.faults.calls("C_Sign"), 2);
}

#[test]
fn no_request_outlives_its_deadline_when_the_device_hangs() {
    let device = Device::new();
    device.faults.set("C_Sign * hang");
    let begun = Instant::now();
    for end in device.sign_many(16, 1) {
        assert_ended_by_the_daemon(begun, &end.unwrap_err());
    }
    device.faults.clear();
    let took = device.recover();
    println!(
        "first good signature {} ms after the hang",
        took.as_millis()
    );
}

#[test]
fn no_request_outlives_its_deadline_when_the_device_crawls() {
    let device = Device::new();
    device.faults.set("C_Sign * delay 30000");
    let begun = Instant::now();
    for end in device.sign_many(8, 1) {
        assert_ended_by_the_daemon(begun, &end.unwrap_err());
    }
    device.faults.clear();
    device.recover();
}

#[test]
fn a_device_that_hangs_while_it_is_opened_again_is_given_up_by_the_deadline() {
    let device = Device::new();
    device.faults.set("C_Sign 1 abort\nC_Login * hang");
    let begun = Instant::now();
    assert_ended_by_the_daemon(begun, &device.sign().unwrap_err());
    device.faults.clear();
    device.recover();
}
