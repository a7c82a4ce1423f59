//! Modules that take their process along.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use obol_kms_client::wire::RefusalKind;

use crate::device::Device;

#[test]
fn a_crash_of_the_module_costs_its_worker_and_no_request() {
    let device = Device::new();
    let before = device.worker().unwrap();
    device.faults.set("C_Sign 1 abort");
    device.sign().unwrap();
    assert_ne!(device.worker().unwrap(), before);
}

#[test]
fn a_module_that_always_crashes_is_a_clear_error_and_then_forgotten() {
    let device = Device::new();
    device.faults.set("C_Sign * abort");
    let refusal = device.sign().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::TokenFailure);
    assert_eq!(refusal.reason, "2 worker processes died before they signed");
    device.faults.clear();
    device.recover();
}

#[test]
fn a_worker_killed_every_second_leaves_every_request_signed_or_refused() {
    let device = Device::new();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..16u64)
        .map(|caller| {
            let (signer, stop) = (device.signer(), Arc::clone(&stop));
            device.runtime().spawn(async move {
                let mut ends = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    ends.push(signer.sign(caller << 32 | ends.len() as u64).await);
                }
                ends
            })
        })
        .collect();
    let mut killed = 0;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        let worker = device.worker().map(|id| id.to_string());
        let kill = worker.map(|id| Command::new("kill").args(["-9", &id]).status());
        killed += u32::from(kill.is_some_and(|status| status.unwrap().success()));
    }
    device.recover();
    stop.store(true, Ordering::Relaxed);
    let (mut signed, mut refused) = (0, 0);
    for task in tasks {
        for end in device.runtime().block_on(task).unwrap() {
            match end {
                Ok(()) => signed += 1,
                Err(refusal) => {
                    assert!(!refusal.reason.is_empty());
                    refused += 1;
                }
            }
        }
    }
    println!("{killed} workers killed: {signed} signed and verified, {refused} refused");
    assert!(
        killed >= 3 && signed > 0,
        "{killed} killed, {signed} signed"
    );
}
