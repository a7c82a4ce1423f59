//! A terminal gets and renews its certificate by its own command, as it is shipped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use obol_transport::{Identity, Peer};

use crate::process::Service;
use crate::publishing::officers::House;
use crate::world::World;

const TERMINAL: &str = "terminal = \"bus-7\"\noperator = \"metro\"\nroot = \"root.pem\"\n\
    access = \"access.pem\"\ncertificate = \"terminal.pem\"\nkey = \"terminal.key\"\n\
    issuer_url = \"https://issuer.test\"\nplatform_url = \"https://platform.test\"\n";

/// The terminal's command, which `make test` builds beside the issuer's.
pub(crate) fn obol_pos() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_obol-issuer")).with_file_name("obol-pos");
    assert!(path.exists(), "build it first: cargo build -p obol-pos-cli");
    path
}

pub(crate) struct Bus {
    pub(crate) world: World,
    pub(crate) service: Service,
    folder: tempfile::TempDir,
}

impl Bus {
    /// With a folder that has its own `terminal.toml`.
    pub(crate) fn new() -> Self {
        let bus = Self::without_a_file("");
        fs::write(bus.path("terminal.toml"), TERMINAL).unwrap();
        bus
    }

    /// With an empty folder, and `more` in what terminals are told.
    fn without_a_file(more: &str) -> Self {
        let world = World::new();
        world.certify_for_today();
        let platform = world.identity("platform", "obol://platform/main");
        world.write_enrolling_config(&[("obol://platform/main", &platform)]);
        let service = Service::start(&world);
        // The enrolment listener's port is known now; commands read the file anew.
        let told = format!(
            "[terminals]\noperator = \"metro\"\nenrolment_url = \"{}\"\n\
             issuer_url = \"https://issuer.test\"\nplatform_url = \"https://platform.test\"\n\
             root = \"root.pem\"\n{more}",
            service.enrolment.as_ref().unwrap()
        );
        let config = fs::read_to_string(world.path("issuer.toml")).unwrap();
        world.write("issuer.toml", &format!("{config}{told}"));
        Self {
            world,
            service,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        self.service.enrolment.clone().unwrap()
    }

    /// The file that the officer hands over.
    pub(crate) fn invitation(&self, name: &str, identity: &str) -> PathBuf {
        let file = self.path(name);
        let made = Command::new(env!("CARGO_BIN_EXE_obol-issuer"))
            .args([
                "enrolment-code",
                "--config",
                "issuer.toml",
                "--identity",
                identity,
            ])
            .arg("--provisioning")
            .arg(&file)
            .current_dir(self.world.folder())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        file
    }

    pub(crate) fn begin(&self, file: &str) -> Output {
        self.enroll(&["--provisioning", file])
    }

    pub(crate) fn enroll(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(obol_pos());
        command.arg("--dir").arg(self.folder.path());
        command.arg("enroll").args(arguments).output().unwrap()
    }

    fn spki(&self) -> [u8; 32] {
        let (certificate, key) = (self.path("terminal.pem"), self.path("terminal.key"));
        Identity::load(&certificate, &key).unwrap().spki()
    }
}

pub(crate) fn said(output: &Output) -> (i32, String) {
    let out = String::from_utf8_lossy(&output.stdout);
    let text = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_enrols_renews_and_is_let_in_by_its_own_command() {
    let bus = Bus::new();
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    let file = file.to_str().unwrap();
    let (code, text) = said(&bus.begin(file));
    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("ENROLLED obol://terminal/bus-7 "),
        "{text}"
    );
    let first = bus.spki();
    let peer = Peer::load(&bus.path("terminal.pem")).unwrap();
    assert_eq!(peer.uri, "obol://terminal/bus-7");
    assert!(bus.path("journal.sqlite").exists());
    // The answer was lost, or the certificate's file: the same key gets the same certificate.
    fs::remove_file(bus.path("terminal.pem")).unwrap();
    let (code, text) = said(&bus.begin(file));
    assert_eq!((code, bus.spki()), (0, first), "{text}");

    let (code, text) = said(&bus.enroll(&["--renew", &bus.url()]));
    assert_eq!(code, 0, "{text}");
    let second = bus.spki();
    assert_ne!(first, second);
    assert!(!bus.path("terminal.pem.next").exists());
    let identity = Identity::load(&bus.path("terminal.pem"), &bus.path("terminal.key")).unwrap();
    let terminal = bus.service.caller(&bus.world, &identity);
    let url = format!("{}/v1/trust-bundle", terminal.base);
    terminal.http.get(&url).await.unwrap().success().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_cut_off_at_any_rename_leaves_key_and_certificate_that_fit() {
    let bus = Bus::new();
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    assert_eq!(said(&bus.begin(file.to_str().unwrap())).0, 0);
    let old = ["terminal.key", "terminal.pem"].map(|name| fs::read(bus.path(name)).unwrap());
    assert_eq!(said(&bus.enroll(&["--renew", &bus.url()])).0, 0);
    let new = ["terminal.key", "terminal.pem"].map(|name| fs::read(bus.path(name)).unwrap());
    let second = bus.spki();
    let put = |name: &str, bytes: &[u8]| fs::write(bus.path(name), bytes).unwrap();
    for key_was_renamed in [false, true] {
        put("terminal.pem", &old[1]);
        put("terminal.pem.next", &new[1]);
        if key_was_renamed {
            put("terminal.key", &new[0]);
        } else {
            put("terminal.key", &old[0]);
            put("terminal.key.next", &new[0]);
        }
        // The next use of the key ends it, whatever else that use comes to.
        let (_, text) = said(&bus.enroll(&["--renew", "https://127.0.0.1:1"]));
        assert!(text.contains("127.0.0.1:1"), "{text}");
        assert_eq!(bus.spki(), second);
    }
    // A renewal that got no certificate changes nothing.
    assert!(bus.path("terminal.key.next").exists());
    assert_eq!(said(&bus.enroll(&["--renew", &bus.url()])).0, 0);
    assert_ne!(bus.spki(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_code_another_terminal_s_file_and_a_foreign_ca_leave_no_certificate() {
    let bus = Bus::new();
    let foreign = bus.invitation("foreign.toml", "obol://terminal/bus-8");
    let (code, text) = said(&bus.begin(foreign.to_str().unwrap()));
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("is for bus-8, and this terminal is bus-7"),
        "{text}"
    );

    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    let good = fs::read_to_string(&file).unwrap();
    let spent = bus.path("spent.toml");
    let secret = good
        .lines()
        .find(|line| line.starts_with("code = "))
        .unwrap();
    let wrong = good.replace(secret, &format!("code = \"{}\"", "0".repeat(32)));
    fs::write(&spent, wrong).unwrap();
    let (code, text) = said(&bus.begin(spent.to_str().unwrap()));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("the issuer gives no certificate"), "{text}");
    assert!(!text.contains(&"0".repeat(32)), "{text}");
    assert!(!bus.path("terminal.pem").exists());

    fs::write(bus.path("access.pem"), "another").unwrap();
    let (code, text) = said(&bus.begin(file.to_str().unwrap()));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("names another authority than"), "{text}");
    assert!(!bus.path("terminal.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_becomes_a_terminal_that_believes_what_its_file_says_and_only_once() {
    let house = House::new();
    let root = house.offline().join("root/1.root.json");
    let told = format!("repository_url = \"http://trust.test/a\"\ntrust_root = {root:?}\n");
    let bus = Bus::without_a_file(&told);
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let (code, text) = said(&bus.begin(file.to_str().unwrap()));
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        Peer::load(&bus.path("terminal.pem")).unwrap().uri,
        "obol://terminal/bus-7"
    );
    // What the updater starts from at the first sync.
    let metadata = fs::read(&root).unwrap();
    assert_eq!(fs::read(bus.path("trust/root.json")).unwrap(), metadata);
    assert_eq!(fs::read(bus.path("trust-root.json")).unwrap(), metadata);
    let own = fs::read_to_string(bus.path("terminal.toml")).unwrap();
    for line in [
        "issuer_url = \"https://issuer.test\"",
        "platform_url = \"https://platform.test\"",
        "repository_url = \"http://trust.test/a\"",
        "trust_root = \"trust-root.json\"",
    ] {
        assert!(own.lines().any(|found| found == line), "{own}");
    }
    let pem = |path: PathBuf| fs::read_to_string(path).unwrap().trim().to_owned();
    for name in ["root.pem", "access.pem"] {
        assert_eq!(pem(bus.path(name)), pem(bus.world.path(name)));
    }
    // A later file of another root is not believed.
    fs::write(bus.path("root.pem"), "another").unwrap();
    let (code, text) = said(&bus.begin(file.to_str().unwrap()));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("names another authority than"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_gets_a_code_and_no_file_for_terminals() {
    let bus = Bus::new();
    let file = bus.path("platform.toml");
    let made = Command::new(env!("CARGO_BIN_EXE_obol-issuer"))
        .args(["enrolment-code", "--config", "issuer.toml", "--identity"])
        .args(["obol://platform/second", "--provisioning"])
        .arg(&file)
        .current_dir(bus.world.folder())
        .output()
        .unwrap();
    let (code, text) = said(&made);
    assert_eq!(code, 2, "{text}");
    let first = "error: \"obol://platform/second\" is no terminal, and a provisioning file is for \
                 terminals alone\n";
    assert!(text.starts_with(first), "{text}");
    assert!(!file.exists());
}
