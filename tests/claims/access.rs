//! One access CA follows another while a city rides.

use std::{fs, process::Command};

use obol_world::Ran;

use crate::stage::Stage;

const ISSUER_READ: &str = "the configuration was read again";
const PLATFORM_READ: &str = "certificates and revocation list were read again";

/// How often issuer and platform have taken changed files: a look at the files of its own accord may
/// come between a file and the signal, so that one change is taken twice.
struct Changes([usize; 2]);

impl Changes {
    /// These are the access CAs from now on, and the services have their certificates anew.
    fn take(&mut self, stage: &Stage, trust: &[&str]) {
        let folder = stage.world.folder();
        let text: String = trust.iter().map(|name| stage.read(name)).collect();
        fs::write(folder.join("access.next"), text).unwrap();
        fs::rename(folder.join("access.next"), folder.join("access.pem")).unwrap();
        let issuer = stage.world.issuer().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-HUP", &issuer]).status();
        assert!(sent.unwrap().success());
        let said = [("issuer", ISSUER_READ), ("platform", PLATFORM_READ)];
        for (taken, (service, text)) in self.0.iter_mut().zip(said) {
            let world = &stage.world;
            world.wait_for_log(service, text, *taken + 1).unwrap();
            *taken = world.log(service).unwrap().matches(text).count();
        }
    }
}

fn renew(stage: &Stage, terminal: &str) -> Ran {
    let url = format!("https://localhost:{}", stage.world.ports.enrolment);
    let pos = stage.world.tool("obol-pos");
    let renewed = pos.succeed(&["--dir", terminal, "enroll", "--renew", &url]);
    let certificate = format!("{terminal}/terminal.pem");
    let register = ["register-terminal", "--config", "platform.toml"];
    let register = [&register[..], &["--certificate", &certificate]].concat();
    let platform = stage.world.tool("obol-platform");
    platform.succeed(&register).unwrap();
    renewed.unwrap()
}

fn is_by(stage: &Stage, ca: &str, certificate: &str) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-partial_chain", "-trusted", ca, certificate]);
    let checked = openssl.current_dir(stage.world.folder()).output();
    checked.unwrap().status.success()
}

#[test]
fn the_access_ca_is_rotated_while_the_city_rides_and_no_service_restarts() {
    let mut stage = Stage::empty();
    let world = &mut stage.world;
    world.prepare_tokens().unwrap();
    world.make_authorities().unwrap();
    world.make_registry().unwrap();
    world.make_access_registry().unwrap();
    world.certify_services().unwrap();
    world.start_bank().unwrap();
    world.start_online().unwrap();
    let config = stage.read("issuer.toml");
    let without =
        |line: &&str| !line.starts_with("repository_url") && !line.starts_with("trust_root");
    let lines: Vec<&str> = config.lines().filter(without).collect();
    stage.write("issuer.toml", &lines.join("\n"));
    stage.write("access-1.pem", &stage.read("access.pem"));
    stage.world.enrol_terminal("bus-1").unwrap();
    stage.world.terminal("bus-1").sync().unwrap();
    assert!(is_by(&stage, "access-1.pem", "bus-1/terminal.pem"));

    // Both are believed; the first certifies still.
    let folder = stage.world.folder().to_owned();
    let mut changes = Changes([0; 2]);
    stage.world.make_next_access().unwrap();
    changes.take(&stage, &["access-1.pem", "access-2.pem"]);
    let ada = stage.rider("ada");
    stage.world.terminal("bus-1").sync().unwrap();
    stage.ride(&ada, "bus-1", 1);
    renew(&stage, "bus-1");
    assert!(is_by(&stage, "access-1.pem", "bus-1/terminal.pem"));
    stage.world.enrol_terminal("bus-3").unwrap();
    assert!(is_by(&stage, "access-1.pem", "bus-3/terminal.pem"));

    // The next one certifies, services and terminals alike.
    changes.take(&stage, &["access-2.pem", "access-1.pem"]);
    stage.world.enrol_terminal("bus-2").unwrap();
    assert!(is_by(&stage, "access-2.pem", "bus-2/terminal.pem"));
    renew(&stage, "bus-1");
    assert!(is_by(&stage, "access-2.pem", "bus-1/terminal.pem"));
    for role in ["issuer", "platform"] {
        let (request, new) = (format!("{role}.csr"), format!("{role}-tls-2.pem"));
        let next = ("access-2.pem", "server");
        stage.world.certify_by(next, &request, &new).unwrap();
        assert!(is_by(&stage, "access-2.pem", &new));
        fs::rename(folder.join(new), folder.join(format!("{role}-tls.pem"))).unwrap();
    }
    changes.take(&stage, &["access-2.pem", "access-1.pem"]);
    for bus in ["bus-1", "bus-2", "bus-3"] {
        stage.world.terminal(bus).sync().unwrap();
    }
    stage.ride(&ada, "bus-2", 1);

    // The first one leaves, and with it whoever has not renewed.
    changes.take(&stage, &["access-2.pem"]);
    let pos = stage.world.tool("obol-pos");
    let refused = pos.run(&["--dir", "bus-3", "sync"]).unwrap();
    assert!(
        refused.stderr.contains("refused this client's certificate"),
        "{refused:?}"
    );
    for bus in ["bus-1", "bus-2"] {
        renew(&stage, bus);
        assert_eq!(
            stage
                .read(&format!("{bus}/access.pem"))
                .matches("BEGIN")
                .count(),
            1
        );
        stage.world.terminal(bus).sync().unwrap();
        stage.world.terminal(bus).upload().unwrap();
    }
    stage.ride(&ada, "bus-1", 2);
}
