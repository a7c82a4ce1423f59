//! The shim as programs load it: over a real SoftHSM.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::path::Path;
use std::process::Command;

use obol_pkcs11_shim::{Faults, shim};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Lists the slots through the shim, in a process of its own.
fn list(faults: &Faults, folder: &Path) -> (bool, String) {
    let tokens = folder.join("tokens");
    std::fs::create_dir_all(&tokens).unwrap();
    let conf = folder.join("softhsm2.conf");
    std::fs::write(
        &conf,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    let output = Command::new("pkcs11-tool")
        .args(["--list-slots", "--module"])
        .arg(shim().unwrap())
        .envs(faults.environment(Path::new(SOFTHSM)))
        .env("SOFTHSM2_CONF", conf)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn without_rules_everything_is_the_real_modules() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::at(&folder.path().join("control"));
    let (ok, said) = list(&faults, folder.path());
    assert!(ok && said.contains("SoftHSM slot ID"), "{said}");
    faults.clear();
    let (ok, said) = list(&faults, folder.path());
    assert!(ok && said.contains("SoftHSM slot ID"), "{said}");
    assert_eq!(faults.calls("C_Initialize"), 1);
}

#[test]
fn a_rule_speaks_of_its_call_in_whichever_process() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::at(&folder.path().join("control"));
    faults.set("C_Initialize 2 return CKR_DEVICE_ERROR\nC_Initialize 3 abort");
    let (first, said) = list(&faults, folder.path());
    assert!(first, "{said}");
    let (second, said) = list(&faults, folder.path());
    assert!(!second && said.contains("CKR_DEVICE_ERROR"), "{said}");
    let (third, said) = list(&faults, folder.path());
    assert!(!third, "{said}");
    let (fourth, said) = list(&faults, folder.path());
    assert!(fourth, "{said}");
    assert_eq!(faults.calls("C_Initialize"), 4);
}
