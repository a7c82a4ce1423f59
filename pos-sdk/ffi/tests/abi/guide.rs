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
    let ours = |block: &&str| block.contains("obol_pos.h") || block.contains("obol-pos)");
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
    let mut gate = Command::new("./terminal")
        .args([".", "take"])
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

/// The guide's upload, with a platform in the place of its network.
fn uploaded(folder: &Path, prefix: &Path) -> String {
    let mut upload = Command::new("./terminal");
    upload.args([".", "upload"]).current_dir(folder);
    run(upload.env("LD_LIBRARY_PATH", prefix.join("lib")))
}

#[test]
fn a_vendor_who_follows_the_guide_has_a_terminal_that_writes_rides_down_and_uploads_them_once() {
    let home = tempfile::tempdir().expect("a folder");
    let prefix = home.path().join("usr");
    run(install().arg(&prefix));
    let program = blocks("c");
    assert_eq!(program.len(), 1, "one program");
    let compiled = blocks("sh");
    let compiled: Vec<_> = compiled.iter().filter(|b| b.starts_with("cc ")).collect();
    assert_eq!(
        compiled.len(),
        2,
        "against the shared library, and with everything inside"
    );
    for (number, line) in compiled.into_iter().enumerate() {
        let folder = &home.path().join(number.to_string());
        fs::create_dir(folder).expect("a folder");
        fixture::write_into_at(folder, fixture::this_moment());
        fs::write(folder.join("terminal.c"), &program[0]).expect("written");
        shell(line, folder, &prefix);
        let text = |name| fs::read_to_string(folder.join(name)).expect("a code");
        let (code, third) = (text("code"), text("third"));
        let scans = format!("{code}\r\n{code}\n{}\n{third}\nHC1:6BFOXN\n", text("stale"));
        let said = gate(folder, &prefix, &scans);
        assert_eq!(
            said,
            "OPEN ride 1, 2.00 CNY\nDUPLICATE: this code was taken before\n\
             CODE_STALE: older than its window and 30 s\nOPEN ride 2, 2.00 CNY\n\
             UNKNOWN_SCHEME: does not begin with PT1:\n"
        );
        assert_eq!(uploaded(folder, &prefix), "to upload: rides from 1 on\n");
        let segment = fs::read(folder.join("segment.cbor")).expect("written out");
        let (verified, answer) = fixture::answer(&segment);
        assert_eq!(verified.records().len(), 2);
        fs::write(folder.join("answer.json"), answer).expect("written");
        let done = "the platform holds 2 rides\nnothing to upload\n";
        assert_eq!(uploaded(folder, &prefix), done);
    }
}
