//! The first block of docs/runbooks/issuer.md, with tarballs that are not what was released.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::runbook::page;
use crate::runbook_page::blocks;
use crate::tarball::{pack, small_binaries};
use crate::{said, succeed};

/// A machine with a release's tarball and SHA256SUMS, on which nothing is installed.
struct Machine {
    folder: tempfile::TempDir,
    tarball: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binaries = small_binaries(folder.path());
        let tarball = pack(&binaries, &folder.path().join("out"), "022");
        for name in ["bin", "units"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, tarball }
    }

    fn sums(&self) -> PathBuf {
        self.tarball.with_file_name("SHA256SUMS")
    }

    /// The tarball's name without its folder.
    fn file(&self) -> &str {
        self.tarball.file_name().unwrap().to_str().unwrap()
    }

    fn release(&self) -> &str {
        self.file().strip_suffix(".tar.gz").unwrap()
    }

    /// In the tarball's folder.
    fn act(&self, script: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script, "bash", self.release()]);
        succeed(bash.current_dir(self.tarball.parent().unwrap()));
    }

    fn follow(&self) -> Output {
        let mut steps = blocks(&page(), "sh").into_iter();
        let block = steps.find(|block| block.contains("FIRST=$(unpack \"$TARBALL\")"));
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("steps.sh"), block.unwrap()).unwrap();
        let mut follow = Command::new("bash");
        follow.arg("-eu").arg(at("steps.sh"));
        follow.env("TARBALL", &self.tarball);
        for (setting, name) in [("LIB", "lib"), ("BIN", "bin"), ("UNITS", "units")] {
            follow.env(setting, at(name));
        }
        follow.output().unwrap()
    }

    /// What is in the folders that the block fills.
    fn made(&self) -> Vec<String> {
        let mut made = Vec::new();
        for name in ["lib", "bin", "units"] {
            let entries = fs::read_dir(self.folder.path().join(name)).unwrap();
            made.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        }
        made.sort();
        made
    }

    /// Ends with status 1 and this, and has neither unpacked nor switched anything.
    fn refuses(&self, expected: &str) {
        let output = self.follow();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
        assert_eq!(self.made(), Vec::<String>::new());
    }
}

#[test]
fn a_tarball_as_it_was_released_is_unpacked_and_runs() {
    let machine = Machine::new();
    let output = machine.follow();
    assert!(output.status.success(), "{}", said(&output));
    let current = fs::read_link(machine.folder.path().join("lib/current")).unwrap();
    assert_eq!(current.to_str(), Some(machine.release()));
    assert!(machine.folder.path().join("bin/obol-issuer").is_file());
}

#[test]
fn a_tarball_with_another_checksum_is_not_unpacked() {
    let machine = Machine::new();
    machine.act("echo >> \"$1.tar.gz\"");
    machine.refuses(&format!("{}: FAILED", machine.file()));
}

#[test]
fn a_tarball_that_the_sums_do_not_name_is_not_unpacked() {
    let machine = Machine::new();
    // Names that begin or end with its own, of files that are there and right.
    machine.act(
        "cp \"$1.tar.gz\" \"$1.tar.gz.sig\"; cp \"$1.tar.gz\" \"x$1.tar.gz\"
         sha256sum \"$1.tar.gz.sig\" \"x$1.tar.gz\" > SHA256SUMS",
    );
    machine.refuses("no properly formatted checksum lines found");
    fs::write(machine.sums(), "").unwrap();
    machine.refuses("no properly formatted checksum lines found");
    fs::remove_file(machine.sums()).unwrap();
    machine.refuses("SHA256SUMS");
}

#[test]
fn a_release_with_a_file_that_its_own_sums_do_not_have_is_not_switched_to() {
    let machine = Machine::new();
    machine.act(
        "tar --extract --file \"$1.tar.gz\"; echo >> \"$1/README.md\"
         tar --create --gzip --file \"$1.tar.gz\" \"$1\"; sha256sum \"$1.tar.gz\" > SHA256SUMS",
    );
    let output = machine.follow();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("README.md: FAILED"),
        "{}",
        said(&output)
    );
    assert_eq!(machine.made(), [machine.release()]);
}
