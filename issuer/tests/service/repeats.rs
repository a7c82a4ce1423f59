//! Batches, and requests that come again.

use obol_credential::Credential;
use serde_json::{Value, json};

use crate::world::{Caller, Phone, SUBJECT, World, json_of};

const KEY: (&str, &str) = ("Idempotency-Key", "order-7");

fn items(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers
        .map(|number| Phone::numbered(number).asks(SUBJECT))
        .collect()
}

fn credential(result: &Value) -> Vec<u8> {
    let text = result["credential"].as_str().unwrap();
    data_encoding::BASE64URL_NOPAD
        .decode(text.as_bytes())
        .unwrap()
}

async fn code(caller: &Caller, path: &str, body: &Value, status: u16) -> String {
    let reply = caller.post(path, &[KEY], body).await;
    json_of(&reply, status)["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_thousand_gets_a_result_for_each_and_one_bad_item_spoils_no_other() {
    let world = World::new();
    let caller = world.with_caller().await;
    let mut asked = items(0..1000);
    asked[17]["class"] = json!(9);
    asked[900] = asked[899].clone();
    let body = json!({ "items": asked });
    let reply = caller
        .post_until_answered("/v1/credentials/batch", "thousand", &body)
        .await;
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), 1000);
    let mut names = std::collections::BTreeSet::new();
    for (place, result) in results.iter().enumerate() {
        match place {
            17 => assert_eq!(result["problem"]["code"], "class-unknown"),
            900 => assert_eq!(result["problem"]["code"], "device-key-reused"),
            _ => {
                let bytes = credential(result);
                let claims = *Credential::decode(&bytes).unwrap().claims();
                let number = u32::try_from(place).unwrap();
                assert_eq!(claims.device_key, Phone::numbered(number).device_key());
                names.insert(claims.cti.0);
            }
        }
    }
    assert_eq!(names.len(), 998);
}

#[tokio::test]
async fn a_batch_of_nothing_or_of_more_than_4096_or_with_one_malformed_item_signs_nothing() {
    let world = World::new();
    let caller = world.with_caller().await;
    let one = Phone::new(1).asks(SUBJECT);
    let mut odd = one.clone();
    odd["subject"] = json!("xyz");
    for items in [vec![], vec![one.clone(); 4097], vec![one.clone(), odd]] {
        let body = json!({ "items": items });
        let reply = caller.post("/v1/credentials/batch", &[], &body).await;
        assert_eq!(json_of(&reply, 400)["code"], "malformed-request");
    }
    json_of(&caller.post("/v1/credentials", &[], &one).await, 201);
}

#[tokio::test]
async fn the_same_key_and_body_get_the_same_bytes_also_from_a_service_that_was_started_again() {
    let world = World::new();
    let caller = world.with_caller().await;
    let asked = Phone::new(1).asks(SUBJECT);
    let first = caller.post("/v1/credentials", &[KEY], &asked).await;
    json_of(&first, 201);
    let again = caller.post("/v1/credentials", &[KEY], &asked).await;
    assert_eq!(again.body, first.body);
    // The first service still holds the register, as if it had been killed.
    let restarted = world.with_caller().await;
    let again = restarted.post("/v1/credentials", &[KEY], &asked).await;
    assert_eq!(again.body, first.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_gets_the_same_credentials() {
    let world = World::new();
    let caller = world.with_caller().await;
    let body = json!({ "items": items(0..300) });
    let path = "/v1/credentials/batch";
    let first = caller.post_until_answered(path, "again", &body).await;
    let again = caller.post_until_answered(path, "again", &body).await;
    assert_eq!(again, first);
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let world = World::new();
    let caller = world.with_caller().await;
    let first = Phone::new(1).asks(SUBJECT);
    json_of(&caller.post("/v1/credentials", &[KEY], &first).await, 201);
    let other = Phone::new(2).asks(SUBJECT);
    let refused = code(&caller, "/v1/credentials", &other, 422).await;
    assert_eq!(refused, "idempotency-key-reused");
    let batch = json!({ "items": [first] });
    let refused = code(&caller, "/v1/credentials/batch", &batch, 422).await;
    assert_eq!(refused, "idempotency-key-reused");
}

#[tokio::test]
async fn a_request_whose_signature_failed_is_finished_under_its_key_with_the_name_it_had() {
    let world = World::new();
    let caller = world.with_caller().await;
    let asked = Phone::new(1).asks(SUBJECT);
    world.silence_daemon(true);
    let refused = code(&caller, "/v1/credentials", &asked, 503).await;
    assert_eq!(refused, "signing-unavailable");
    world.silence_daemon(false);
    let signed = caller.post("/v1/credentials", &[KEY], &asked).await;
    let signed = json_of(&signed, 201);
    // Without the key, the device key counts as used.
    let reply = caller.post("/v1/credentials", &[], &asked).await;
    assert_eq!(json_of(&reply, 409)["code"], "device-key-reused");
    let cti = signed["cti"].as_str().unwrap();
    let status = caller.get(&format!("/v1/credentials/{cti}")).await;
    assert_eq!(status["state"], "live");
}

#[tokio::test]
async fn a_key_that_is_no_name_is_refused() {
    let world = World::new();
    let caller = world.with_caller().await;
    let asked = Phone::new(1).asks(SUBJECT);
    let headers = [("Idempotency-Key", "two words")];
    let reply = caller.post("/v1/credentials", &headers, &asked).await;
    assert_eq!(json_of(&reply, 400)["code"], "idempotency-key-malformed");
}

#[tokio::test]
async fn a_quota_ends_what_a_client_may_have_today() {
    let world = World::new();
    let platform = world.identity("platform", "obol://platform/main");
    let text = "daily_quota = 2\n";
    let config = world.config_with(&[("obol://platform/main", &platform)], text);
    let caller = world.caller_of(config, platform).await;
    let body = json!({ "items": items(0..3) });
    let reply = caller.post("/v1/credentials/batch", &[], &body).await;
    let reply = json_of(&reply, 200);
    assert!(reply["results"][1]["credential"].is_string());
    let problem = &reply["results"][2]["problem"];
    assert_eq!(
        (&problem["code"], &problem["status"]),
        (&json!("quota-exhausted"), &json!(429))
    );
}
