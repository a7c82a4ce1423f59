//! The PIN is offered once. A device that locks after three wrong ones must not be locked by us.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::device::Device;

#[test]
fn a_pin_refused_after_an_outage_is_tried_once_and_seals_the_token() {
    for trouble in ["C_Sign 1 return CKR_DEVICE_ERROR", "C_Sign 1 abort"] {
        let device = Device::new();
        let rules = format!("{trouble}\nC_Login * return CKR_PIN_INCORRECT");
        device.faults.set(&rules);
        for _ in 0..5 {
            let refusal = device.sign().unwrap_err();
            assert!(
                refusal.reason.contains("C_Login: CKR_PIN_INCORRECT"),
                "{trouble}: {refusal:?}"
            );
        }
        // Longer than the longest pause between two tries of a repair.
        std::thread::sleep(Duration::from_secs(2));
        let refusal = device.sign().unwrap_err();
        assert!(
            refusal.reason.contains("C_Login: CKR_PIN_INCORRECT"),
            "{trouble}: {refusal:?}"
        );
        assert_eq!(device.faults.calls("C_Login"), 1, "{trouble}");
    }
}

#[test]
fn a_pin_refused_at_the_start_is_tried_once() {
    let mut device = Device::stopped();
    device.faults.set("C_Login * return CKR_PIN_INCORRECT");
    let error = device.world.start_kms().unwrap_err().to_string();
    assert!(error.contains("C_Login: CKR_PIN_INCORRECT"), "{error}");
    assert_eq!(device.faults.calls("C_Login"), 1);
}

#[test]
fn a_locked_or_expired_pin_seals_as_a_wrong_one_does() {
    for answer in ["CKR_PIN_LOCKED", "CKR_PIN_EXPIRED"] {
        let device = Device::new();
        let rules = format!("C_Sign 1 return CKR_DEVICE_ERROR\nC_Login * return {answer}");
        device.faults.set(&rules);
        for _ in 0..3 {
            let refusal = device.sign().unwrap_err();
            assert!(refusal.reason.contains(answer), "{refusal:?}");
        }
        assert_eq!(device.faults.calls("C_Login"), 1);
    }
}

#[test]
fn to_be_logged_in_already_is_success() {
    let device = Device::new();
    device
        .faults
        .set("C_Sign 1 return CKR_DEVICE_ERROR\nC_Login * replace CKR_USER_ALREADY_LOGGED_IN");
    device.sign().unwrap();
    assert_eq!(device.faults.calls("C_Login"), 1);
}

#[test]
fn a_pin_that_was_changed_under_the_daemon_is_tried_once_and_seals_the_token() {
    let (mut device, module) = Device::stopped_over(None);
    device.start();
    device.faults.clear();
    device.sign().unwrap();
    let folder = device.world.folder();
    let before = fs::read_to_string(folder.join("tokens/issuer.pin")).unwrap();
    change_pin(&device, &module, before.trim(), "changed-4711");
    device.faults.set("C_Sign 1 return CKR_DEVICE_ERROR");
    for _ in 0..5 {
        let refusal = device.sign().unwrap_err();
        assert_eq!(
            refusal.reason,
            "the token is sealed: token \"issuer\" refused the PIN of tokens/issuer.pin, which was \
             tried once and is not tried again: C_Login: CKR_PIN_INCORRECT"
        );
    }
    // Longer than the longest pause between two tries of a repair.
    std::thread::sleep(Duration::from_secs(2));
    device.sign().unwrap_err();
    assert_eq!(device.faults.calls("C_Login"), 1);
}

/// On SoftHSM itself, as somebody else's tool does it.
fn change_pin(device: &Device, module: &Path, from: &str, to: &str) {
    let module = module.to_str().unwrap();
    let changed = Command::new("pkcs11-tool")
        .env(
            "SOFTHSM2_CONF",
            device.world.folder().join("tokens/softhsm2.conf"),
        )
        .args(["--module", module, "--token-label", "issuer", "--login"])
        .args(["--change-pin", "--pin", from, "--new-pin", to])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&changed.stderr).into_owned();
    assert!(changed.status.success(), "{said}");
}
