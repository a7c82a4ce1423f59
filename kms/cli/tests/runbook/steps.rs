//! docs/runbooks/kms.md, as an operator types it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::repository;
use crate::runbook_page::blocks;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

fn page() -> String {
    runbook("kms.md")
}

fn runbook(name: &str) -> String {
    fs::read_to_string(repository().join("docs/runbooks").join(name)).unwrap()
}

/// A machine on which everything is installed and nothing is set up.
struct Machine {
    folder: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let settings = BTreeMap::from([
            ("REPO", repository().to_str().unwrap().to_owned()),
            ("UNITS", at("units")),
            ("ETC", at("etc")),
            ("STATE", at("state")),
            ("RUN", at("run")),
            ("BACKUP", at("backup")),
            ("OFFICE", at("office")),
            ("MODULE", module.unwrap().to_owned()),
            ("ROOT_TOKEN", at("root.token.toml")),
            ("ROOT", at("root.pem")),
            ("CLIENT", user.clone()),
            ("DAEMON", user),
            ("ORIGIN", "kms.test/audit".to_owned()),
            // Nobody waits here.
            ("PROPAGATION", "0s".to_owned()),
            ("TAIL", "0s".to_owned()),
            ("FLEET", at("fleet.toml")),
        ]);
        let mut machine = Machine { folder, settings };
        for name in ["UNITS", "ETC", "STATE", "RUN", "BACKUP", "OFFICE"] {
            fs::create_dir(&machine.settings[name]).unwrap();
        }
        machine.make_fleet();
        machine.make_tools();
        machine.make_tokens();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the platform has recorded: terminals that are never silent, as nobody waits here.
    fn make_fleet(&self) {
        #[allow(clippy::disallowed_methods)] // the runbook's shell has the machine's clock as well
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = obol_kms_registry::rotation::instant(obol_credential::UnixTime(now as u32));
        let fleet = format!(
            "schema = 1\nrecorded = {now}\n[[groups]]\nname = 'all'\nterminals = 1000\n\
             longest = '0s'\n"
        );
        fs::write(&self.settings["FLEET"], fleet).unwrap();
    }

    /// `obol-kms` and the stand-in for systemctl, found by their names.
    fn make_tools(&self) {
        fs::create_dir(self.path("bin")).unwrap();
        let link = std::os::unix::fs::symlink::<&Path, PathBuf>;
        let kms = Path::new(env!("CARGO_BIN_EXE_obol-kms"));
        link(kms, self.path("bin/obol-kms")).unwrap();
        let systemctl = self.path("bin/systemctl");
        fs::write(&systemctl, include_str!("systemctl.sh")).unwrap();
        fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// The vendor's part: two tokens, their PINs, and a root.
    fn make_tokens(&mut self) {
        let etc = PathBuf::from(&self.settings["ETC"]);
        let tokens = Path::new(&self.settings["STATE"]).join("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = format!("directories.tokendir = {}\n", tokens.display());
        fs::write(etc.join("softhsm2.conf"), conf).unwrap();
        for (label, pin) in [("issuer", etc.join("pin")), ("root", self.path("root.pin"))] {
            let arguments = "--init-token --free --pin 1234 --so-pin 5678 --label";
            let arguments = arguments.split(' ').chain([label]);
            self.succeeds(self.command("softhsm2-util").args(arguments));
            fs::write(&pin, "1234").unwrap();
            fs::set_permissions(&pin, PermissionsExt::from_mode(0o400)).unwrap();
        }
        let module = self.settings["MODULE"].clone();
        let show = ["token", "show", "--json", "--module", &module];
        let shown = self.succeeds(self.command("obol-kms").args(show));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let serial = |label: &str| {
            let tokens = shown["tokens"].as_array().unwrap();
            let token = tokens.iter().find(|token| token["label"] == label);
            token.unwrap()["serial"].as_str().unwrap().to_owned()
        };
        self.settings.insert("SERIAL", serial("issuer"));
        let root = format!(
            "module = '{module}'\nlabel = 'root'\nserial = '{}'\npin_file = 'root.pin'\n",
            serial("root")
        );
        fs::write(self.path("root.token.toml"), root).unwrap();
        let create = "root create --token root.token.toml --out root.pem";
        self.succeeds(self.command("obol-kms").args(create.split(' ')));
    }

    fn command(&self, program: &str) -> Command {
        #[allow(clippy::disallowed_methods)] // the tools beside the product are where PATH says
        let path = std::env::var("PATH").unwrap();
        let bin = self.path("bin");
        let program = match bin.join(program) {
            ours if ours.exists() => ours,
            _ => PathBuf::from(program),
        };
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .envs(&self.settings)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOLD", self.path("hold"))
            .env("SOFTHSM2_CONF", self.path("etc/softhsm2.conf"));
        command
    }

    fn succeeds(&self, command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let daemon = fs::read_to_string(self.path("run/stderr"));
        assert!(output.status.success(), "{stderr}\nthe daemon: {daemon:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the text in one shell, in which every question is answered yes.
    fn follow(&self, text: &str) -> String {
        self.succeeds(self.command("mkfifo").arg("hold"));
        // Open as long as this process lives; then the daemon's standard input ends.
        let mut options = fs::File::options();
        let hold = options.read(true).write(true).open(self.path("hold"));
        fs::write(self.path("steps.sh"), text).unwrap();
        let script = "yes yes | bash -eu steps.sh";
        let told = self.succeeds(self.command("bash").args(["-c", script]));
        drop(hold.unwrap());
        told
    }
}

#[test]
fn every_command_of_the_runbook_works_in_its_order() {
    let steps = blocks(&page(), "sh");
    assert!(steps.len() > 15, "{} blocks", steps.len());
    // What has been run is said on standard error when a step fails.
    let mut text = "set -x\n".to_owned();
    text += &steps.concat();
    // What the drills must have led to, from the registry that was restored.
    text += "set +x\necho RESULT\nobol-kms keys list --registry \"$REGISTRY\"\n\
             echo \"old $OLD new $NEW audit $AUDIT\"\n";
    let told = Machine::new().follow(&text);
    let health = told.lines().filter(|line| *line == "ok").count();
    assert_eq!(health, 4, "{told}");
    let (_, result) = told.split_once("RESULT\n").unwrap();
    let names = result.lines().last().unwrap();
    let [_, old, _, new, _, audit] = names.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{names}")
    };
    for (key, state) in [(old, "retired"), (new, "active"), (audit, "active")] {
        let line = result.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.split(' ').any(|word| word == state), "{line}");
    }
}

#[test]
fn every_command_of_the_trust_runbook_works_in_its_order_behind_the_installation() {
    let kms = page();
    let (installation, _) = kms.split_once("\n## Start\n").unwrap();
    let steps = blocks(&runbook("trust.md"), "sh");
    assert!(steps.len() > 6, "{} blocks", steps.len());
    let mut text = "set -x\n".to_owned() + &blocks(installation, "sh").concat();
    text += &steps.concat();
    text += "set +x\necho RESULT\nobol-kms keys list --registry \"$REGISTRY\"\n\
             obol-kms keys examine --registry \"$REGISTRY\" > \"$OFFICE/examined\"\n\
             ls \"$DRAFTS\"\necho \"old $OLD new $NEW online $ONLINE next $NEXT\"\n";
    let told = Machine::new().follow(&text);
    let (_, result) = told.split_once("RESULT\n").unwrap();
    let names = result.lines().last().unwrap();
    let [_, old, _, new, _, online, _, next] = names.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{names}")
    };
    for (key, state) in [
        (old, "compromised"),
        (new, "active"),
        (online, "retiring"),
        (next, "active"),
    ] {
        let line = result.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.split(' ').any(|word| word == state), "{line}");
    }
    for draft in [
        "root-2.json",
        "root-3.json",
        "targets-101.json",
        "targets-1001.json",
        "targets-2001.json",
    ] {
        assert!(
            result.lines().any(|line| line == draft),
            "{draft}: {result}"
        );
    }
}

/// What drills a case with publisher and terminals stands beside it by its name.
#[test]
fn every_drill_that_the_trust_runbook_names_is_a_test_that_exists() {
    let page = runbook("trust.md");
    let sources: String = [
        "tests/fleet/src/drills.rs",
        "tests/fleet/tests/fleet.rs",
        "issuer/tests/publisher/tough.rs",
        "issuer/tests/service/lists.rs",
        "issuer/tests/service/publishing.rs",
        "issuer/tests/service/succession.rs",
        "platform/tests/service/blocked_keys.rs",
        "platform/tests/service/doors.rs",
        "tests/claims/access.rs",
        "tests/claims/demo.rs",
        "tests/claims/online_keys.rs",
        "wallet/tests/command/renewal.rs",
    ]
    .map(|file| fs::read_to_string(repository().join(file)).unwrap())
    .concat();
    let names = page.split('`').skip(1).step_by(2);
    let long =
        |name: &&str| name.len() > 40 && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    let drills: Vec<_> = names.filter(long).collect();
    assert!(drills.len() >= 6, "{drills:?}");
    for drill in drills {
        assert!(sources.contains(&format!("fn {drill}(")), "{drill}");
    }
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
