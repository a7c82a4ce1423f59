//! The shipped binary: signals, `kill -9`, an orderly end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use obol_transport::{HttpsClient, Identity};
use serde_json::{Value, json};

use crate::world::{Caller, Phone, SUBJECT, World, json_of, today};

const KEY: (&str, &str) = ("Idempotency-Key", "order-7");
/// Long enough for any machine; nothing waits for it in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Service {
    child: Child,
    address: String,
    /// Where members enrol.
    pub(crate) enrolment: Option<String>,
}

impl Service {
    pub(crate) fn start(world: &World) -> Self {
        let mut child = spawn(world, Stdio::piped());
        let stdout = child.stdout.take().unwrap();
        Self::when_ready(child, stdout, world)
    }

    /// One that may have begun to speak already.
    pub(crate) fn when_ready(child: Child, stdout: impl Read, world: &World) -> Self {
        let mut enrolment = None;
        let lines = BufReader::new(stdout).lines().map(Result::unwrap);
        for line in lines.filter(|line| !line.is_empty()) {
            match line.split_once(' ').unwrap() {
                ("ready", address) => {
                    let address = address.to_owned();
                    return Self {
                        child,
                        address,
                        enrolment,
                    };
                }
                (_, address) => enrolment = Some(address.replace("127.0.0.1", "localhost")),
            }
        }
        panic!(
            "{}",
            std::fs::read_to_string(world.path("issuer.log")).unwrap()
        );
    }

    pub(crate) fn caller(&self, world: &World, identity: &Identity) -> Caller {
        let base = self.address.replace("127.0.0.1", "localhost");
        let http = HttpsClient::new(&world.anchor(), Some(identity.clone()));
        Caller { base, http }
    }

    /// In order.
    pub(crate) async fn stop(self) {
        self.signal("-TERM");
        assert_eq!(self.ended().await, Some(0));
    }

    /// At once, wherever it is.
    pub(crate) async fn crash(self) {
        self.signal("-KILL");
        assert_eq!(self.ended().await, None);
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code; `None` when a signal ended it.
    async fn ended(mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the service does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts it, and does not wait until it is ready.
pub(crate) fn spawn(world: &World, stdout: impl Into<Stdio>) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(world.path("issuer.log"))
        .unwrap();
    Command::new(env!("CARGO_BIN_EXE_obol-issuer"))
        .args(["serve", "--config"])
        .arg(world.path("issuer.toml"))
        .stdout(stdout)
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) async fn logged(world: &World, text: &str) {
    let begun = Instant::now();
    while !std::fs::read_to_string(world.path("issuer.log"))
        .unwrap()
        .contains(text)
    {
        assert!(begun.elapsed() < PATIENCE, "{text:?} is not logged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn asked(number: u32) -> Value {
    Phone::numbered(number).asks_at(SUBJECT, today())
}

pub(crate) fn world_and_platform() -> (World, Identity) {
    let world = World::new();
    world.certify_for_today();
    let platform = world.identity("platform", "obol://platform/main");
    world.write_config(&[("obol://platform/main", &platform)]);
    (world, platform)
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_lets_a_new_client_in_and_an_old_one_out_and_a_wrong_configuration_changes_nothing()
{
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let second = world.identity("second", "obol://platform/second");
    let (old, new) = (
        service.caller(&world, &platform),
        service.caller(&world, &second),
    );
    json_of(&old.post("/v1/credentials", &[], &asked(1)).await, 201);
    json_of(&new.post("/v1/credentials", &[], &asked(2)).await, 403);

    world.write("issuer.toml", "listen = 7");
    service.signal("-HUP");
    logged(&world, "the changed configuration is refused").await;
    json_of(&old.post("/v1/credentials", &[], &asked(3)).await, 201);

    world.write_config(&[("obol://platform/second", &second)]);
    service.signal("-HUP");
    logged(&world, "the configuration was read again").await;
    json_of(&new.post("/v1/credentials", &[], &asked(4)).await, 201);
    json_of(&old.post("/v1/credentials", &[], &asked(5)).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reserved_before_kill_9_is_signed_afterwards_under_the_same_name() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    // Named and durable, but the daemon never answers.
    world.silence_daemon(true);
    let request = asked(1);
    let lost = caller.post("/v1/credentials", &[KEY], &request).await;
    json_of(&lost, 503);
    service.signal("-KILL");
    assert_eq!(service.ended().await, None);

    world.silence_daemon(false);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let first = caller.post("/v1/credentials", &[KEY], &request).await;
    let cti = json_of(&first, 201)["cti"].clone();
    service.signal("-KILL");
    assert_eq!(service.ended().await, None);

    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let again = caller.post("/v1/credentials", &[KEY], &request).await;
    assert_eq!(json_of(&again, 201)["cti"], cti);
    let used = caller.post("/v1/credentials", &[], &request).await;
    assert_eq!(json_of(&used, 409)["code"], "device-key-reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_answers_every_request_that_was_taken() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let items: Vec<_> = (0..100).map(asked).collect();
    let body = json!({ "items": items });
    let busy = caller.clone();
    let batch =
        tokio::spawn(async move { busy.post("/v1/credentials/batch", &[KEY], &body).await });
    // Taken as soon as the first of its items stands in the register.
    let begun = Instant::now();
    while world.reserved() == 0 {
        assert!(begun.elapsed() < PATIENCE, "nothing was reserved");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    service.signal("-TERM");
    let reply = json_of(&batch.await.unwrap(), 200);
    let results = reply["results"].as_array().unwrap();
    assert!(
        results
            .iter()
            .all(|result| result["credential"].is_string())
    );
    assert_eq!(results.len(), 100);
    assert_eq!(service.ended().await, Some(0));
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let cti = results[99]["cti"].as_str().unwrap();
    let status = caller.get(&format!("/v1/credentials/{cti}")).await;
    assert_eq!(status["state"], "live");
}
