//! docs/runbooks/issuer.md, as an operator types it: from the tarball, on an empty machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::runbook_page::blocks;
use crate::{binaries, repository, said, succeed};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

pub(crate) fn page() -> String {
    fs::read_to_string(repository().join("docs/runbooks/issuer.md")).unwrap()
}

/// A machine with SoftHSM and a tarball, on which nothing is installed.
struct Machine {
    folder: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let user = succeed(Command::new("id").arg("-un")).trim().to_owned();
        let (listen, enrol) = (free_port(), free_port());
        let settings = BTreeMap::from([
            ("TARBALL", at("first/obol-none.tar.gz")),
            ("NEXT", at("second/obol-none.tar.gz")),
            ("LIB", at("lib")),
            ("BIN", at("bin")),
            ("UNITS", at("units")),
            ("ETC", at("etc")),
            ("STATE", at("state")),
            ("RUN", at("run")),
            ("BACKUP", at("backup")),
            ("OFFICE", at("office")),
            ("PLATFORM", at("platform")),
            ("BUS", at("bus")),
            ("MODULE", module.unwrap().to_owned()),
            ("ROOT_TOKEN", at("root/root.token.toml")),
            ("ROOT", at("root/root.pem")),
            ("DAEMON", user.clone()),
            ("CLIENT", user),
            // Here the issuer's user is whoever runs the test.
            ("AS", String::new()),
            ("HOST", "localhost".to_owned()),
            ("LISTEN", format!("127.0.0.1:{listen}")),
            ("ENROL", format!("127.0.0.1:{enrol}")),
            ("URL", format!("https://localhost:{listen}")),
            ("ENROL_URL", format!("https://localhost:{enrol}")),
            ("PLATFORM_HOST", "localhost".to_owned()),
            ("PLATFORM_URL", "https://localhost:1".to_owned()),
            ("HOUSE", "kms.test".to_owned()),
            ("OPERATOR", "metro".to_owned()),
            // Nobody waits here.
            ("PROPAGATION", "0s".to_owned()),
            ("TAIL", "0s".to_owned()),
        ]);
        Self { folder, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is there before the operator begins: folders and tarballs.
    fn prepare(&mut self) {
        for name in [
            "bin",
            "units",
            "run",
            "backup",
            "office",
            "platform",
            "bus",
            "logs",
            "root",
            "etc/obol-issuer",
            "etc/obol-kms/issuer",
            "etc/obol-kms/access",
        ] {
            fs::create_dir_all(self.path(name)).unwrap();
        }
        succeed(self.command("mkfifo").arg("hold"));
        let systemctl = self.path("bin/systemctl");
        fs::write(&systemctl, include_str!("systemctl.sh")).unwrap();
        fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).unwrap();
        let mut dist = Command::new(repository().join("deploy/dist.sh"));
        // Smaller is not what is tested.
        dist.env("GZIP_LEVEL", "1");
        let told = succeed(dist.arg(binaries()).arg(self.path("first")));
        let tarball = told.trim().to_owned();
        let next = self.pack_later(Path::new(&tarball));
        self.settings.insert("TARBALL", tarball);
        self.settings.insert("NEXT", next);
    }

    /// The same release under a later one's name; `tar --extract` sees that it is not compressed.
    fn pack_later(&self, first: &Path) -> String {
        let script = r#"
            set -eu
            name=$(basename "$1" .tar.gz)
            mkdir "$2"
            cd "$2"
            tar --extract --file "$1"
            mv "$name" obol-later
            tar --create --file obol-later.tar.gz obol-later
            rm -r obol-later
            sha256sum obol-later.tar.gz > SHA256SUMS
        "#;
        let second = self.path("second");
        let mut pack = Command::new("bash");
        pack.args(["-c", script, "bash"]).arg(first).arg(&second);
        succeed(&mut pack);
        second
            .join("obol-later.tar.gz")
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn command(&self, program: &str) -> Command {
        #[allow(clippy::disallowed_methods)] // the tools beside the product are where PATH says
        let path = std::env::var("PATH").unwrap();
        let bin = self.path("bin");
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .envs(&self.settings)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOLD", self.path("hold"))
            .env("LOGS", self.path("logs"));
        command
    }

    /// Runs the text in one shell, in which every question is answered yes.
    fn follow(&self, text: &str) -> String {
        // Open as long as this process lives; then the services' standard input ends.
        let mut options = fs::File::options();
        let hold = options.read(true).write(true).open(self.path("hold"));
        let hold = hold.unwrap();
        fs::write(self.path("steps.sh"), text).unwrap();
        let mut follow = self.command("bash");
        let output = follow.args(["-c", "yes yes | bash -eu steps.sh"]).output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            said(&output),
            self.logs()
        );
        drop(hold);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the services have said.
    fn logs(&self) -> String {
        let entries = fs::read_dir(self.path("logs")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let logs = paths.filter(|path| path.extension().is_some_and(|kind| kind == "stderr"));
        logs.map(|path| {
            format!(
                "{}:\n{}",
                path.display(),
                fs::read_to_string(&path).unwrap()
            )
        })
        .collect()
    }
}

/// Free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn every_command_of_the_runbook_works_in_its_order_from_the_tarball() {
    let mut machine = Machine::new();
    machine.prepare();
    let page = page();
    let (today, later) = page.split_once("\nThen, four days later:\n").unwrap();
    let (today, later) = (blocks(today, "sh"), blocks(later, "sh"));
    assert!(today.len() > 4 && later.len() > 12, "{today:?} {later:?}");
    // What has been run is said on standard error when a step fails.
    machine.follow(&format!("set -x\n{}", today.concat()));
    // As the page says that a later shell begins.
    let mut text = format!("set -x\n{}. \"$ETC/obol-kms/steps.sh\"\n", today[0]);
    text += &later.concat();
    text += "systemctl stop obol-issuer obol-kms@issuer obol-kms@access\n";
    let told = machine.follow(&text);
    let times = |line: &str| told.lines().filter(|found| *found == line).count();
    // The start, the new certificate, the upgrade, back, and the copies of before; two key daemons
    // in all but the second.
    assert_eq!((times("ok"), times("ready")), (8, 5), "{told}");
    assert!(told.contains("ENROLLED obol://terminal/bus-1 "), "{told}");
    assert!(told.contains("RENEWED obol://terminal/bus-1 "), "{told}");
    // The terminal's first key and its renewed one are out.
    assert_eq!(told.matches("Serial Number: ").count(), 2, "{told}");
}

#[test]
fn the_runbook_names_every_setting_and_no_other() {
    let settings = blocks(&page(), "settings").concat();
    let named = settings.lines().map(|line| line.split('=').next().unwrap());
    let mut named: Vec<_> = named.collect();
    named.sort_unstable();
    let machine = Machine::new();
    let known: Vec<_> = machine.settings.keys().copied().collect();
    assert_eq!(named, known);
}
