//! What the register promised before `kill -9`, it keeps after it.

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
