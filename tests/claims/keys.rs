//! Where the authorities' keys are, and where they are not.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use data_encoding::BASE64;
use obol_world::World;

use crate::stage::Stage;

/// secp384r1 as it stands in a key's algorithm (RFC 5480).
const SECP384R1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// What the token says of each private key.
pub(crate) const GUARDED: &str = "sensitive, always sensitive, never extractable, local";

#[test]
fn the_authorities_are_p384_certificates_that_openssl_believes_strictly() {
    let stage = Stage::with_tokens();
    stage.world.make_authorities().unwrap();
    for file in ["root.pem", "access.pem", "issuer.pem"] {
        let strict = ["verify", "-x509_strict", "-CAfile", "root.pem", file];
        assert_eq!(openssl(&stage.world, &strict), format!("{file}: OK\n"));
        let text = openssl(&stage.world, &["x509", "-noout", "-text", "-in", file]);
        assert!(text.contains("NIST CURVE: P-384"), "{text}");
    }
}

fn openssl(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    let output = command.args(arguments).current_dir(world.folder()).output();
    let output = output.expect("openssl is installed: run ./setup.sh test");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_key_never_leaves_the_token() {
    let stage = Stage::running(&["bus-1"]);
    for token in ["root", "access", "issuer"] {
        let found = private_keys_in(stage.world.folder(), "tokens", token);
        let own = if token == "issuer" {
            vec!["audit", token]
        } else {
            vec![token]
        };
        let mut labels: Vec<_> = found.iter().map(|(label, _)| label.as_str()).collect();
        labels.sort_unstable();
        assert_eq!(labels.len(), own.len(), "{token}: {labels:?}");
        for (label, own) in labels.iter().zip(own) {
            assert!(label.starts_with(own), "{token}: {labels:?}");
        }
        assert!(found.iter().all(|(_, found)| found == GUARDED), "{found:?}");
    }
    let keys = keys_in_files(stage.world.folder());
    assert_eq!(
        keys.len(),
        9,
        "issuer, platform, key daemon, bus, bank, three officers, a witness: {keys:?}"
    );
}

/// Files with a private key below a folder; none of them is an authority's.
pub(crate) fn keys_in_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    files.retain(|path| {
        let text = fs::read_to_string(path);
        let Some(key) = text.ok().and_then(|text| private_key_in(&text)) else {
            return false;
        };
        let of_an_authority = key.windows(SECP384R1.len()).any(|part| part == SECP384R1);
        assert!(!of_an_authority, "{} holds a P-384 key", path.display());
        true
    });
    files
}

/// Label and access of each private key, as the token itself tells a stranger's program.
pub(crate) fn private_keys_in(world: &Path, site: &str, token: &str) -> Vec<(String, String)> {
    let site = world.join(site);
    let file = fs::read_to_string(site.join(format!("{token}.token.toml"))).unwrap();
    let module = file.split('"').nth(1).unwrap();
    let pin = fs::read_to_string(site.join(format!("{token}.pin"))).unwrap();
    let output = Command::new("pkcs11-tool")
        .args(["--module", module, "--token-label", token, "--login"])
        .args([
            "--pin",
            pin.trim_end(),
            "--list-objects",
            "--type",
            "privkey",
        ])
        .env("SOFTHSM2_CONF", site.join("softhsm2.conf"))
        .output()
        .expect("pkcs11-tool is installed: run ./setup.sh test");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let all = |word: &str| -> Vec<String> {
        let found = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(word));
        found.map(|rest| rest.trim().to_owned()).collect()
    };
    let (labels, access) = (all("label:"), all("Access:"));
    assert_eq!(labels.len(), access.len(), "{text}");
    labels.into_iter().zip(access).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn private_key_in(text: &str) -> Option<Vec<u8>> {
    let behind = text.split("-----BEGIN PRIVATE KEY-----").nth(1)?;
    let body: String = behind.split("-----").next()?.split_whitespace().collect();
    Some(BASE64.decode(body.as_bytes()).unwrap())
}
