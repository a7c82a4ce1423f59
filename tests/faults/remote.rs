//! The token behind a network: `p11-kit server` is the appliance, its socket the cable.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::device::{Device, children};

const CLIENTS: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
];
/// p11-kit 0.24 loses its place in the answer when it is asked for the length of a list alone.
const REPAIR: &str = "C_GetAttributeValue * length CKA_ALLOWED_MECHANISMS 8";
const WITHIN: Duration = Duration::from_secs(30);

/// An appliance that holds the issuer's token.
struct Appliance {
    server: Option<Child>,
    module: PathBuf,
    folder: PathBuf,
}

impl Appliance {
    /// A daemon whose token is in an appliance that is switched on.
    fn with_daemon() -> (Appliance, Device) {
        let client = CLIENTS.iter().map(PathBuf::from).find(|path| path.exists());
        let client = client.expect("p11-kit-modules is installed");
        let (mut device, module) = Device::stopped_over(Some(&client));
        device.faults.set(REPAIR);
        let folder = device.world.folder().to_owned();
        let address = format!("unix:path={}", folder.join("appliance").display());
        device
            .world
            .set_variable("P11_KIT_SERVER_ADDRESS", address.as_ref());
        let mut appliance = Appliance {
            server: None,
            module,
            folder,
        };
        appliance.switch_on();
        device.start();
        device.sign().unwrap();
        (appliance, device)
    }

    fn switch_on(&mut self) {
        let socket = self.folder.join("appliance");
        let server = Command::new("p11-kit")
            .args(["server", "--foreground", "--name"])
            .arg(&socket)
            .arg("--provider")
            .arg(&self.module)
            .arg("pkcs11:")
            .env("SOFTHSM2_CONF", self.folder.join("tokens/softhsm2.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.server = Some(server.expect("p11-kit is installed"));
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < WITHIN, "the appliance does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The processes that answer connections; killing their parent alone would change nothing.
    fn remotes(&self) -> Vec<u32> {
        children(self.server.as_ref().unwrap().id())
    }

    fn signal(&self, signal: &str) {
        for remote in self.remotes() {
            let mut kill = Command::new("kill");
            kill.args([signal, &remote.to_string()]);
            assert!(kill.status().unwrap().success());
        }
    }

    fn switch_off(&mut self) {
        self.signal("-9");
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        std::fs::remove_file(self.folder.join("appliance")).ok();
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.switch_off();
        }
    }
}

#[test]
fn a_killed_connection_to_the_appliance_costs_no_request() {
    let (appliance, device) = Appliance::with_daemon();
    for _ in 0..3 {
        appliance.signal("-9");
        device.sign().unwrap();
    }
}

#[test]
fn an_appliance_that_is_switched_off_and_on_signs_again_without_help() {
    let (mut appliance, device) = Appliance::with_daemon();
    appliance.switch_off();
    for end in device.sign_many(8, 2) {
        let refusal = end.unwrap_err();
        assert!(!refusal.reason.is_empty());
    }
    appliance.switch_on();
    let took = device.recover();
    println!(
        "first good signature {} ms after the appliance",
        took.as_millis()
    );
}

#[test]
fn an_appliance_that_stands_still_is_hung_and_no_request_outlives_its_deadline() {
    let (appliance, device) = Appliance::with_daemon();
    appliance.signal("-STOP");
    let begun = Instant::now();
    let stopped = appliance.remotes();
    let ends = device.sign_many(8, 1);
    // The daemon's deadline is 6 s, the client's own 15 s.
    assert!(begun.elapsed() < Duration::from_secs(14));
    for end in ends.into_iter().filter_map(Result::err) {
        assert!(!end.reason.is_empty());
    }
    device.recover();
    let now = appliance.remotes();
    assert!(
        now.iter().any(|remote| !stopped.contains(remote)),
        "a connection of its own"
    );
    appliance.signal("-CONT");
}
