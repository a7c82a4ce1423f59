//! The wall clock jumps under a running daemon.

use std::fs;
use std::path::{Path, PathBuf};

use obol_kms_client::wire::RefusalKind;

use crate::device::Device;

const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

#[test]
fn a_clock_that_jumps_signs_nothing_out_of_its_time_and_needs_no_restart() {
    let mut device = Device::healthy();
    let clock = device.world.folder().join("clock");
    let library = LIBRARIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    let library = library.expect("faketime is installed");
    for (name, value) in [
        ("LD_PRELOAD", library.as_path()),
        ("FAKETIME_TIMESTAMP_FILE", &clock),
        ("FAKETIME_NO_CACHE", Path::new("1")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
    ] {
        device.world.set_variable(name, value);
    }
    fs::write(&clock, "+0").unwrap();
    device.start();
    device.sign().unwrap();
    for jump in ["+2d", "-2d", "+4000d"] {
        fs::write(&clock, jump).unwrap();
        let refusal = device.sign().unwrap_err();
        assert_eq!(
            refusal.kind,
            RefusalKind::PayloadRefused,
            "{jump}: {refusal:?}"
        );
    }
    fs::write(&clock, "+0").unwrap();
    device.sign().unwrap();
}
