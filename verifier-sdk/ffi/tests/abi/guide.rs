//! docs/pos-guide.md, followed step by step: install, compile, scan.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    fixture,
    library::{install, root, run},
};

/// The guide's programs and shell lines that use this library, as a vendor would copy them.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/pos-guide.md")).expect("the guide");
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let ours = |block: &&str| block.contains("obol_verifier.h") || block.contains("obol-verifier)");
    blocks
        .map(|rest| rest.split("```").next().expect("its end"))
        .filter(ours)
        .map(str::to_owned)
        .collect()
}

fn shell(line: &str, folder: &Path, prefix: &Path) -> String {
    let mut command = Command::new("sh");
    command.arg("-ec").arg(line).current_dir(folder);
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    command.env("LIBRARY_PATH", prefix.join("lib"));
    command.env("LD_LIBRARY_PATH", prefix.join("lib"));
    run(&mut command)
}

/// What the guide's program says to these scans.
fn gate(folder: &Path, prefix: &Path, scans: &str) -> String {
    let mut gate = Command::new("./gate")
        .args(["root.pem", "bundle.cbor", "metro"])
        .current_dir(folder)
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut scanner = gate.stdin.take().expect("a pipe");
    scanner.write_all(scans.as_bytes()).expect("scanned");
    drop(scanner);
    let output = gate.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_vendor_who_follows_the_guide_has_a_gate_that_tells_good_codes_from_bad() {
    let home = tempfile::tempdir().expect("a folder");
    let (folder, prefix) = (home.path(), home.path().join("usr"));
    run(install().arg(&prefix));
    let program = blocks("c");
    assert_eq!(program.len(), 1, "one program");
    fs::write(folder.join("gate.c"), &program[0]).expect("written");
    let compiled: Vec<_> = blocks("sh")
        .into_iter()
        .filter(|b| b.starts_with("cc "))
        .collect();
    assert_eq!(
        compiled.len(),
        2,
        "against the shared library, and with everything inside"
    );
    for line in compiled {
        fixture::write_into(folder);
        shell(&line, folder, &prefix);
        let text = |name| fs::read_to_string(folder.join(name)).expect("a code");
        let scans = format!(
            "{}\r\n{}\n{}\nHC1:6BFOXN\n62010012345\n\n",
            text("code"),
            text("code"),
            text("stale")
        );
        let said = gate(folder, &prefix, &scans);
        let foreign = "UNKNOWN_SCHEME: does not begin with PT1:\n".repeat(3);
        let good = "GOOD class 1, cap 10.00\n".repeat(2);
        let stale = "CODE_STALE: older than its window and 30 s\n";
        assert_eq!(said, format!("{good}{stale}{foreign}"));
    }
}

#[test]
fn an_image_of_a_system_gets_paths_of_the_system() {
    let image = tempfile::tempdir().expect("a folder");
    run(install().arg("/usr").arg(image.path()));
    let lib = image.path().join("usr/lib");
    let described = fs::read_to_string(lib.join("pkgconfig/obol-verifier.pc")).expect("installed");
    assert!(described.starts_with("prefix=/usr\n"), "{described}");
    assert!(!described.contains('@'), "{described}");
    let link = fs::read_link(lib.join("libobol_verifier.so")).expect("a link");
    assert_eq!(link, Path::new("libobol_verifier.so.1"));
    for file in ["lib/libobol_verifier.a", "include/obol_verifier.h"] {
        assert!(image.path().join("usr").join(file).exists(), "{file}");
    }
}
