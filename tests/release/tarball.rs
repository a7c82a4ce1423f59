//! `deploy/dist.sh`: what is in the tarball, and that the same goes in give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{repository, said, succeed};

const SHIPPED: [&str; 4] = ["obol-issuer", "obol-kms", "obol-platform", "obol-pos"];

/// Binaries of a fraction of the size: this machine's `true` under their names.
pub(crate) fn small_binaries(folder: &Path) -> PathBuf {
    let binaries = folder.join("binaries");
    fs::create_dir(&binaries).unwrap();
    for name in SHIPPED {
        fs::copy("/bin/true", binaries.join(name)).unwrap();
    }
    binaries
}

fn dist(binaries: &Path, out: &Path) -> Command {
    let mut command = Command::new(repository().join("deploy/dist.sh"));
    command.arg(binaries).arg(out);
    command
}

/// Packs, under another umask than usual.
pub(crate) fn pack(binaries: &Path, out: &Path, umask: &str) -> PathBuf {
    let mut command = Command::new("bash");
    let script = format!("umask {umask}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]);
    command.arg(repository().join("deploy/dist.sh"));
    let told = succeed(command.arg(binaries).arg(out));
    PathBuf::from(told.trim())
}

#[test]
fn two_packings_of_the_same_binaries_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = small_binaries(folder.path());
    let first = pack(&binaries, &folder.path().join("first"), "022");
    for name in SHIPPED {
        let touched = fs::File::options().append(true).open(binaries.join(name));
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7);
        touched.unwrap().set_modified(later).unwrap();
    }
    let second = pack(&binaries, &folder.path().join("second"), "077");
    assert_eq!(first.file_name(), second.file_name());
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    // It was packed over the last one of the same name, and left nothing else.
    pack(&binaries, &folder.path().join("second"), "022");
    let left = fs::read_dir(folder.path().join("second")).unwrap();
    assert_eq!(left.count(), 2);
}

#[test]
fn every_file_of_the_tarball_is_of_user_0_and_of_one_time_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = small_binaries(folder.path());
    let tarball = pack(&binaries, &folder.path().join("out"), "027");
    let mut list = Command::new("tar");
    list.args(["--list", "--verbose", "--numeric-owner", "--full-time"]);
    let listed = succeed(list.args(["--utc", "--gunzip", "--file"]).arg(&tarball));
    let mut names = Vec::new();
    let mut times = Vec::new();
    for line in listed.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [mode, owner, _, day, second, name] = words[..] else {
            panic!("{line}")
        };
        let program = name.contains("/bin/obol-");
        let expected = match (mode.starts_with('d'), program) {
            (true, _) => "drwxr-xr-x",
            (false, true) => "-rwxr-xr-x",
            (false, false) => "-rw-r--r--",
        };
        assert_eq!((mode, owner), (expected, "0/0"), "{line}");
        names.push(name.trim_end_matches('/').to_owned());
        times.push(format!("{day} {second}"));
    }
    times.dedup();
    assert_eq!(times.len(), 1, "{times:?}");
    // `tar --sort=name` puts what is in a folder directly behind it.
    let mut sorted = names.clone();
    sorted.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    assert_eq!(names, sorted);
}

#[test]
fn the_tarball_has_what_a_deployment_needs_and_its_sums_hold() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = small_binaries(folder.path());
    let tarball = pack(&binaries, &folder.path().join("out"), "022");
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "--strict", "SHA256SUMS"]);
    succeed(check.current_dir(folder.path().join("out")));
    let unpacked = folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(&tarball);
    succeed(unpack.arg("--directory").arg(&unpacked));
    let name = tarball.file_name().unwrap().to_str().unwrap();
    let release = unpacked.join(name.strip_suffix(".tar.gz").unwrap());
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "--strict", "SHA256SUMS"]);
    succeed(check.current_dir(&release));

    let mut found: Vec<_> = fs::read_dir(release.join("bin"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    // No tool of the developers: no tokens of softhsm-setup, no demo.
    assert_eq!(found, SHIPPED);
    for needed in [
        "deploy/issuer.toml",
        "deploy/kms.toml",
        "deploy/platform.toml",
        "deploy/obol.sysusers",
        "deploy/obol.tmpfiles",
        "deploy/systemd/obol-issuer.service",
        "deploy/systemd/obol-kms@.service",
        "deploy/systemd/obol-platform.service",
        "docs/runbooks/kms.md",
        "policies/credentials/metro.toml",
        "policies/kms/permits.cedar",
        "policies/profiles/server.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        assert!(release.join(needed).is_file(), "{needed}");
    }
    // Every file of the tarball but the sums has one.
    let sums = fs::read_to_string(release.join("SHA256SUMS")).unwrap();
    let mut find = Command::new("find");
    let files = succeed(find.args([".", "-type", "f"]).current_dir(&release));
    assert_eq!(sums.lines().count() + 1, files.lines().count());
}

#[test]
fn a_binary_that_is_missing_is_named_and_nothing_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let binaries = small_binaries(folder.path());
    fs::remove_file(binaries.join("obol-kms")).unwrap();
    let out = folder.path().join("out");
    let output = dist(&binaries, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "error: there is no obol-kms in {}\n\
         help: build it first: cargo build --locked --release --bins\n",
        binaries.display()
    );
    assert_eq!(said(&output), expected);
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}
