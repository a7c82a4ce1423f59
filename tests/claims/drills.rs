//! docs/runbooks/issuer-drills.md, as operators type it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use obol_world::Scan;

use crate::{
    nodes::{BUS, Nodes, account},
    runbook_page::blocks,
    stage::{granted, refused},
};

const STAND_IN: &str = include_str!("drills.sh");

/// In the order of the alphabet.
const SETTINGS: [&str; 27] = [
    "AT",
    "BACKUP",
    "CERTIFICATE",
    "CLIENT",
    "HSM",
    "LOST_ONE",
    "LOST_TWO",
    "NEXT",
    "NORTH",
    "NORTH_ISSUER",
    "NORTH_KMS",
    "NORTH_LIB",
    "OFFICE",
    "PLATFORM",
    "PRIVATE_KEY",
    "PROBE",
    "RESERVE",
    "SOUTH",
    "SOUTH_ISSUER",
    "SOUTH_KEYS",
    "SOUTH_KMS",
    "SOUTH_LIB",
    "SOUTH_REGISTER",
    "SPARE",
    "THIEF",
    "TRUST",
    "UNITS",
];

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join("docs/runbooks/issuer-drills.md")).unwrap()
}

/// Two nodes on one machine, and what an operator has at hand.
struct Machine {
    nodes: Nodes,
    settings: BTreeMap<&'static str, String>,
    hold: Option<fs::File>,
}

impl Machine {
    fn new() -> Self {
        let nodes = Nodes::prepared();
        let folder = nodes.stage.world.folder().to_owned();
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for spare in ["spare", "reserve"] {
            let certificate = format!("south/{spare}.pem");
            nodes.make_key(spare, &certificate);
            nodes.activate_issuer_key(spare, &certificate);
            for config in ["issuer.toml", "issuer-south.toml"] {
                let text = nodes.stage.read(config);
                let more = format!(".pem\", \"{certificate}\"]\n");
                let text = text.replace(".pem\"]\n", &more);
                nodes.stage.write(config, &text);
            }
        }
        for name in ["run", "bin", "backup", "units"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        let url = |port: u16| format!("https://localhost:{port}");
        let settings = BTreeMap::from([
            ("AT", at("bin/at")),
            ("HSM", at("bin/hsm")),
            ("PROBE", at("bin/probe")),
            ("NORTH", url(nodes.stage.world.ports.issuer)),
            ("SOUTH", url(nodes.south_port)),
            ("TRUST", at("access.pem")),
            ("CERTIFICATE", at("platform-tls.pem")),
            ("PRIVATE_KEY", at("platform.key")),
            ("PLATFORM", at("platform.toml")),
            ("NORTH_ISSUER", at("issuer.toml")),
            ("SOUTH_ISSUER", at("issuer-south.toml")),
            ("SOUTH_REGISTER", at("south/issuer.db")),
            ("CLIENT", user()),
            ("SOUTH_KEYS", at("south/keys.registry")),
            ("SPARE", "south/spare.pem".to_owned()),
            ("RESERVE", "south/reserve.pem".to_owned()),
            ("BACKUP", at("backup")),
            ("OFFICE", at("people")),
            ("THIEF", String::new()),
            ("LOST_ONE", String::new()),
            ("LOST_TWO", String::new()),
            ("NORTH_LIB", at("lib/north")),
            ("SOUTH_LIB", at("lib/south")),
            ("NORTH_KMS", at("kms.toml")),
            ("SOUTH_KMS", at("kms-south.toml")),
            ("UNITS", at("units")),
            ("NEXT", "later".to_owned()),
        ]);
        assert!(settings.keys().eq(SETTINGS.iter()));
        let mut machine = Self {
            nodes,
            settings,
            hold: None,
        };
        machine.make_tools(&folder);
        machine
    }

    /// The binaries by their names, and the stand-ins.
    fn make_tools(&mut self, folder: &Path) {
        let bin = folder.join("bin");
        let built = std::env::current_exe().unwrap();
        let built = built.parent().unwrap().parent().unwrap().to_owned();
        for name in ["obol-kms", "obol-platform", "obol-wallet"] {
            symlink(built.join(name), bin.join(name)).unwrap();
        }
        for node in ["north", "south"] {
            let lib = folder.join("lib").join(node);
            for release in ["first", "later"] {
                install(&built, &lib.join(release));
            }
            symlink("first", lib.join("current")).unwrap();
        }
        for name in ["at", "systemctl", "hsm"] {
            let text = format!("#!/bin/sh\nexec bash '{}' {name} \"$@\"\n", drill(folder));
            executable(&bin.join(name), &text);
        }
        fs::write(folder.join("bin/drills.sh"), STAND_IN).unwrap();
        let made = Command::new("mkfifo").arg(folder.join("hold")).status();
        assert!(made.unwrap().success());
        // Open as long as this process lives; then the services' standard input ends.
        let mut options = fs::File::options();
        self.hold = Some(
            options
                .read(true)
                .write(true)
                .open(folder.join("hold"))
                .unwrap(),
        );
    }

    /// Runs the text in one shell, in which every question is answered yes.
    fn follow(&self, text: &str) -> String {
        let folder = self.nodes.stage.world.folder();
        fs::write(folder.join("steps.sh"), text).unwrap();
        #[allow(clippy::disallowed_methods)] // the tools beside the product are where PATH says
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("bash")
            .args(["-c", "yes yes | bash -eu steps.sh"])
            .current_dir(folder)
            .envs(&self.settings)
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("HOLD", folder.join("hold"))
            .env("TOKEN_FOLDER", token_folder(folder))
            .env("SOFTHSM2_CONF", folder.join("tokens/softhsm2.conf"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let south = fs::read_to_string(folder.join("logs/south-obol-issuer.log"));
        assert!(output.status.success(), "{stderr}\nsouth: {south:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Whoever runs the test: the stand-ins start the services as the same.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn drill(folder: &Path) -> String {
    folder.join("bin/drills.sh").display().to_string()
}

/// A release as its tarball unpacks, as far as a node needs it.
fn install(built: &Path, release: &Path) {
    let (bin, units) = (release.join("bin"), release.join("deploy/systemd"));
    for folder in [&bin, &units] {
        fs::create_dir_all(folder).unwrap();
    }
    for name in ["obol-kms", "obol-issuer"] {
        // A file of its own: what a process was started from is seen by its name.
        if fs::hard_link(built.join(name), bin.join(name)).is_err() {
            fs::copy(built.join(name), bin.join(name)).unwrap();
        }
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for name in ["obol-issuer.service", "obol-kms@.service"] {
        fs::copy(shipped.join(name), units.join(name)).unwrap();
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Where SoftHSM keeps the token `south`: the folder's name ends with the serial number.
fn token_folder(folder: &Path) -> PathBuf {
    let file = fs::read_to_string(folder.join("tokens/south.token.toml")).unwrap();
    let serial = file.lines().find_map(|line| line.strip_prefix("serial = "));
    let serial = serial.unwrap().trim_matches(['"', '\'']);
    let entries = fs::read_dir(folder.join("tokens/tokens")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.find(|path| path.to_string_lossy().replace('-', "").ends_with(serial));
    found.unwrap()
}

#[test]
fn every_command_of_the_issuers_drills_works_in_its_order() {
    let mut machine = Machine::new();
    machine.follow(
        "for node in north south; do\nat $node systemctl start obol-kms@issuer\n\
         at $node systemctl start obol-issuer\ndone\n",
    );
    let platform = machine
        .nodes
        .serve("obol-platform", "platform", "platform.toml");
    let riders = machine.nodes.riders();
    let folder = machine.nodes.stage.world.folder().to_owned();
    let bus = machine.nodes.stage.world.terminal(BUS);
    bus.sync().unwrap();
    // What the suspected key signed, and is still good for a day.
    let thief = machine.nodes.stage.rider("thief");
    machine.settings.insert("THIEF", account(&thief));
    let lost = ["LOST_ONE", "LOST_TWO"].map(|name| {
        let rider = machine
            .nodes
            .stage
            .rider(&name.to_lowercase().replace('_', "-"));
        machine.settings.insert(name, account(&rider));
        rider
    });
    let mut probe = "#!/bin/sh\nset -eu\n".to_owned();
    for rider in &riders {
        let dir = rider.folder().display();
        let refresh = format!("obol-wallet --dir '{dir}' refresh");
        probe += &format!("{refresh} || {refresh} || {refresh}\n");
    }
    executable(&folder.join("bin/probe"), &probe);
    let stale: Vec<_> = riders
        .iter()
        .map(|rider| (rider.text().unwrap(), rider.show("before.png").unwrap()))
        .collect();

    let steps = blocks(&page(), "sh");
    assert!(steps.len() > 12, "{} blocks", steps.len());
    // What has been run is said on standard error when a step fails.
    let told = machine.follow(&format!("set -x\n{}", steps.concat()));
    assert!(told.contains("restoration 1"), "{told}");
    assert!(told.contains("version "), "{told}");

    // Whoever is revoked gets nothing; everybody else rides on, by either issuer.
    for revoked in lost.iter().chain([&thief]) {
        assert_ne!(revoked.run(&["refresh"]).unwrap().code, 0);
    }
    bus.sync().unwrap();
    let old = obol_kid(&folder.join("south/issuer.pem"));
    let mut blocked = 0;
    for (text, picture) in &stale {
        let kid = crate::stage::presented(text, |shown| shown.credential().kid().to_string());
        if kid == old {
            assert_eq!(bus.scan(picture).unwrap(), refused("UNKNOWN_KEY"));
            blocked += 1;
        }
    }
    assert!(blocked > 0, "the suspected key had signed for nobody");
    let mut seq = 0;
    for rider in &riders {
        seq += 1;
        let code = rider.show("after.png").unwrap();
        let scan: Scan = bus.scan(&code).unwrap();
        assert_eq!(scan, granted(seq));
    }
    platform.stop().unwrap();
}

/// First 8 digits of SHA-256 of the SubjectPublicKeyInfo, as `openssl` computes it.
fn obol_kid(certificate: &Path) -> String {
    let script = format!(
        "openssl x509 -in '{}' -noout -pubkey | openssl pkey -pubin -outform der | sha256sum",
        certificate.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..8].to_owned()
}

#[test]
fn the_issuers_drills_name_every_setting_and_no_other() {
    let settings = blocks(&page(), "settings").concat();
    let named = settings.lines().filter_map(|line| line.split_once('='));
    let mut named: Vec<_> = named.map(|(name, _)| name.to_owned()).collect();
    named.sort_unstable();
    assert_eq!(named, SETTINGS);
}
