//! A device that signs wrongly: one bad ECDSA signature can give its key away.

use crate::device::Device;

const NOT_RELEASED: &str = "does not verify; it was not released";

#[test]
fn a_corrupted_signature_is_never_released() {
    let device = Device::new();
    device.faults.set("C_Sign * corrupt");
    let refusal = device.sign().unwrap_err();
    assert!(refusal.reason.ends_with(NOT_RELEASED), "{refusal:?}");
    device.faults.clear();
    device.sign().unwrap();
}

#[test]
fn of_many_signatures_only_the_corrupted_ones_are_withheld() {
    let device = Device::new();
    device.faults.set("C_Sign /3 corrupt");
    let ends = device.sign_many(16, 6);
    let withheld: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    for refusal in &withheld {
        assert!(refusal.reason.ends_with(NOT_RELEASED), "{refusal:?}");
    }
    assert_eq!(device.faults.calls("C_Sign"), 96);
    assert_eq!(withheld.len(), 32);
}
