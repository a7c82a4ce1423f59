//! Suspending, resuming, revoking, renewing.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use crate::world::{Caller, NOW, Phone, SUBJECT, World, json_of};

const DEVICE: &str = "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0";

fn subject() -> String {
    HEXLOWER.encode(&SUBJECT)
}

async fn command(caller: &Caller, path: &str, status: u16) -> Value {
    let reason = json!({ "reason": "phone stolen" });
    json_of(&caller.post(path, &[], &reason).await, status)
}

#[tokio::test]
async fn a_suspended_subject_gets_nothing_until_it_is_resumed_and_a_revoked_one_never() {
    let world = World::new();
    let caller = world.with_caller().await;
    let at = |act: &str| format!("/v1/subjects/{}/{act}", subject());
    let held = command(&caller, &at("suspend"), 200).await;
    assert_eq!(
        held,
        json!({
            "standing": "suspended",
            "reason": "phone stolen",
            "changed_by": "obol://platform/main",
            "changed_at": NOW,
        })
    );
    let asked = Phone::new(1).asks(SUBJECT);
    let reply = caller.post("/v1/credentials", &[], &asked).await;
    assert_eq!(json_of(&reply, 403)["code"], "subject-suspended");
    command(&caller, &at("resume"), 200).await;
    json_of(&caller.post("/v1/credentials", &[], &asked).await, 201);

    command(&caller, &at("revoke"), 200).await;
    // Durable: a service that is started again knows.
    let restarted = world.with_caller().await;
    let reply = restarted
        .post("/v1/credentials", &[], &Phone::new(2).asks(SUBJECT))
        .await;
    assert_eq!(json_of(&reply, 403)["code"], "subject-revoked");
    assert_eq!(
        command(&restarted, &at("resume"), 409).await["code"],
        "revoked"
    );
    let status = restarted.get(&format!("/v1/subjects/{}", subject())).await;
    assert_eq!(status["standing"], "revoked");
    assert_eq!(status["credentials"][0]["state"], "revoked");
}

#[tokio::test]
async fn a_command_on_a_phone_touches_the_credentials_asked_for_with_its_handle_alone() {
    let world = World::new();
    let caller = world.with_caller().await;
    let mut asked = Phone::new(1).asks(SUBJECT);
    asked["device"] = json!(DEVICE);
    let lost = json_of(&caller.post("/v1/credentials", &[], &asked).await, 201);
    let other = Phone::new(2).asks(SUBJECT);
    let kept = json_of(&caller.post("/v1/credentials", &[], &other).await, 201);

    command(&caller, &format!("/v1/devices/{DEVICE}/suspend"), 200).await;
    let mut states = Vec::new();
    for credential in [&lost, &kept] {
        let cti = credential["cti"].as_str().unwrap();
        states.push(caller.get(&format!("/v1/credentials/{cti}")).await["state"].clone());
    }
    assert_eq!(states, ["suspended", "live"]);
    let mut asked = Phone::new(3).asks(SUBJECT);
    asked["device"] = json!(DEVICE);
    let reply = caller.post("/v1/credentials", &[], &asked).await;
    assert_eq!(json_of(&reply, 403)["code"], "device-suspended");
    let status = caller.get(&format!("/v1/devices/{DEVICE}")).await;
    assert_eq!(status["standing"], "suspended");
}

#[tokio::test]
async fn a_renewal_is_for_the_same_subject_phone_and_class() {
    let world = World::new();
    let caller = world.with_caller().await;
    let mut asked = Phone::new(1).asks(SUBJECT);
    asked["device"] = json!(DEVICE);
    let first = json_of(&caller.post("/v1/credentials", &[], &asked).await, 201);
    let path = format!("/v1/credentials/{}/renew", first["cti"].as_str().unwrap());
    let proof = |seed, subject| BASE64URL_NOPAD.encode(&Phone::new(seed).proof(subject, NOW));

    let body = json!({ "possession": proof(2, SUBJECT) });
    let renewed = json_of(&caller.post(&path, &[], &body).await, 201);
    assert_ne!(renewed["cti"], first["cti"]);
    let other = json!({ "possession": proof(3, [7; 16]) });
    let reply = caller.post(&path, &[], &other).await;
    assert_eq!(json_of(&reply, 400)["code"], "possession-subject");

    command(&caller, &format!("/v1/devices/{DEVICE}/revoke"), 200).await;
    let body = json!({ "possession": proof(4, SUBJECT) });
    let reply = caller.post(&path, &[], &body).await;
    assert_eq!(json_of(&reply, 403)["code"], "device-revoked");
    let reply = caller
        .post("/v1/credentials/0000000000000000/renew", &[], &body)
        .await;
    assert_eq!(json_of(&reply, 404)["code"], "credential-unknown");
}

#[tokio::test]
async fn a_command_of_a_lower_number_that_comes_late_undoes_nothing() {
    let world = World::new();
    let caller = world.with_caller().await;
    let give = async |verb: &str, number: u64, status: u16| {
        let path = format!("/v1/subjects/{}/{verb}", subject());
        let body = json!({ "reason": "lost phone", "number": number });
        json_of(&caller.post(&path, &[], &body).await, status)
    };
    give("resume", 1, 200).await;
    assert_eq!(give("suspend", 2, 200).await["standing"], "suspended");
    // The same command again is no harm, the one before it would be.
    give("suspend", 2, 200).await;
    assert_eq!(give("resume", 1, 409).await["code"], "superseded");
    assert_eq!(give("resume", 3, 200).await["standing"], "active");
    assert_eq!(
        give("suspend", 1 << 53, 400).await["code"],
        "malformed-request"
    );
}

#[tokio::test]
async fn a_command_without_a_reason_or_on_no_handle_is_refused() {
    let world = World::new();
    let caller = world.with_caller().await;
    let path = format!("/v1/subjects/{}/suspend", subject());
    for body in [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "a\nb" }),
    ] {
        let reply = caller.post(&path, &[], &body).await;
        assert_eq!(json_of(&reply, 400)["code"], "malformed-request", "{body}");
    }
    let long = json!({ "reason": "x".repeat(201) });
    assert_eq!(
        json_of(&caller.post(&path, &[], &long).await, 400)["code"],
        "malformed-request"
    );
    let held = command(&caller, "/v1/subjects/abc/suspend", 400).await;
    assert_eq!(held["code"], "malformed-request");
    let status = caller.get(&format!("/v1/subjects/{}", subject())).await;
    assert_eq!(status["standing"], "active");
}
