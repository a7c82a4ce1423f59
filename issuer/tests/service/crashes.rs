//! What the register promised before `kill -9`, it keeps after it; and what it took before an orderly
//! end was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use obol_transport::http::Request;
use obol_transport::{Bytes, HttpsClient};
use serde_json::json;

use crate::enrolment::{SAN, Town, USER, code_of};
use crate::process::{Service, asked, world_and_platform};
use crate::world::json_of;

impl Town {
    /// Ended at once, wherever it is, and started again.
    async fn crash(self) -> Self {
        let Self {
            world,
            platform,
            service,
        } = self;
        service.crash().await;
        let service = Service::start(&world);
        Self {
            world,
            platform,
            service,
        }
    }

    fn refuses(&self, name: &str, code: &str) {
        let (status, body) = self.enrol(name, USER, code);
        assert_eq!(
            (status, code_of(&body).as_str()),
            (401, "enrolment-refused")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_wrong_tries_and_members_are_what_they_were_before_kill_9() {
    let town = Town::new();
    town.request("first", SAN, "P-256");
    town.request("other", SAN, "P-256");
    let wrong = "0".repeat(32);

    // Four wrong tries before, the fifth after: the code is void.
    let code = town.code();
    for _ in 0..4 {
        town.refuses("first", &wrong);
    }
    let town = town.crash().await;
    town.refuses("first", &wrong);
    town.refuses("first", &code);

    // A code is open still, and once spent it is spent: the same key alone gets the same answer.
    let code = town.code();
    let town = town.crash().await;
    let (status, certificate) = town.enrol("first", USER, &code);
    assert_eq!(status, 200, "{certificate}");
    let town = town.crash().await;
    town.refuses("other", &code);
    assert_eq!(town.enrol("first", USER, &code), (200, certificate.clone()));

    // Who enrolled is let in; who was turned out stays out.
    town.take_good("first", &certificate);
    let identity = town.identity("first");
    let fetch = async |town: &Town| {
        let caller = town.service.caller(&town.world, &identity);
        let url = format!("{}/v1/trust-bundle", caller.base);
        caller
            .http
            .get(&url)
            .await
            .map(|reply| reply.status.as_u16())
    };
    assert_eq!(fetch(&town).await.unwrap(), 200);
    let platform = town.service.caller(&town.world, &town.platform);
    let spki = data_encoding::HEXLOWER.encode(&identity.spki());
    let path = format!("/v1/members/{spki}/revoke");
    json_of(
        &platform.post(&path, &[], &serde_json::Value::Null).await,
        200,
    );
    let town = town.crash().await;
    let refused = fetch(&town).await.unwrap_err();
    let obol_transport::TransportError::CertificateRefused { alert, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(alert, "certificate_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_had_of_its_quota_before_kill_9_counts_after_it() {
    let (world, platform) = world_and_platform();
    let config = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    let config = config.replace("daily_quota = 1000000\n", "daily_quota = 3\n");
    world.write("issuer.toml", &config);
    let mut indexes = Vec::new();
    for number in 1..=3 {
        let service = Service::start(&world);
        let caller = service.caller(&world, &platform);
        let reply = caller.post("/v1/credentials", &[], &asked(number)).await;
        let cti = json_of(&reply, 201)["cti"].as_str().unwrap().to_owned();
        let made = caller.get(&format!("/v1/credentials/{cti}")).await;
        indexes.push((made["epoch"].clone(), made["status_index"].clone()));
        service.crash().await;
    }
    // No two are on one bit of one list, which a map that was forgotten would permit.
    assert!(indexes[0] != indexes[1] && indexes[1] != indexes[2] && indexes[0] != indexes[2]);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let reply = caller.post("/v1/credentials", &[], &asked(4)).await;
    assert_eq!(json_of(&reply, 429)["code"], "quota-exhausted");
    // A batch has as little left.
    let batch = json!({ "items": [asked(5), asked(6)] });
    let reply = json_of(
        &caller.post("/v1/credentials/batch", &[], &batch).await,
        200,
    );
    for place in [0, 1] {
        assert_eq!(
            reply["results"][place]["problem"]["code"],
            "quota-exhausted"
        );
    }
}

/// Asks for credentials until nobody is there; how many there were.
async fn ask_until_refused(http: HttpsClient, base: String, numbers: Arc<AtomicU32>) -> u32 {
    let mut answered = 0;
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let body = Bytes::from(serde_json::to_vec(&asked(number)).unwrap());
        let request = Request::post(format!("{base}/v1/credentials"));
        let request = request.header("Content-Type", "application/json");
        match http.send(request.body(body).unwrap()).await {
            Ok(reply) => {
                json_of(&reply, 201);
                answered += 1;
            }
            Err(_) => return answered,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_under_load_leaves_nothing_in_the_register_that_was_not_answered() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let numbers = Arc::<AtomicU32>::default();
    let asking: Vec<_> = (0..16)
        .map(|at| {
            // Half over one HTTP/2 connection each, half over HTTP/1.1.
            let http = match at % 2 {
                0 => HttpsClient::multiplexed(&world.anchor(), Some(platform.clone())),
                _ => HttpsClient::new(&world.anchor(), Some(platform.clone())),
            };
            let (base, numbers) = (caller.base.clone(), Arc::clone(&numbers));
            tokio::spawn(ask_until_refused(http, base, numbers))
        })
        .collect();
    while numbers.load(Ordering::SeqCst) < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    service.stop().await;
    let mut answered = 0;
    for one in asking {
        answered += one.await.unwrap();
    }
    assert!(answered > 0);
    assert_eq!(world.reserved(), answered);
}
