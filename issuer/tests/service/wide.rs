//! Keys, health, metrics, names of requests, reloading.

use obol_transport::http::Request;
use obol_transport::{Bytes, Reply};
use serde_json::json;

use crate::world::{Caller, NOW, Phone, SUBJECT, World, json_of};

async fn text(caller: &Caller, path: &str) -> String {
    let reply = caller
        .http
        .get(&format!("{}{path}", caller.base))
        .await
        .unwrap();
    String::from_utf8(reply.success().unwrap().body.to_vec()).unwrap()
}

#[tokio::test]
async fn keys_are_listed_with_what_they_do_and_whether_they_can() {
    let world = World::new();
    let caller = world.with_caller().await;
    let keys = caller.get("/v1/keys").await;
    let key = &keys["keys"][0];
    let seen = (
        &key["use_here"],
        &key["state"],
        &key["algorithm"],
        &key["classes"],
    );
    assert_eq!(
        seen,
        (
            &json!("signing"),
            &json!("available"),
            &json!("ESP384"),
            &json!(6)
        )
    );
    world.stop_daemon();
    assert_eq!(
        caller.get("/v1/keys").await["keys"][0]["state"],
        "unavailable"
    );
}

#[tokio::test]
async fn published_keys_are_listed_after_the_shards_as_verify_only_or_not_in_force() {
    let world = World::new();
    let platform = world.identity("platform", "obol://platform/main");
    world.write_config(&[("obol://platform/main", &platform)]);
    world.write_published("retired.pem", NOW - 86_400);
    world.write_published("next.pem", NOW + 86_400);
    let text = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    let published = "published = [\"retired.pem\", \"next.pem\"]";
    world.write("issuer.toml", &text.replace("published = []", published));
    let config = obol_issuer::Config::load(&world.path("issuer.toml")).unwrap();
    let caller = world.caller_of(config, platform).await;
    let keys = caller.get("/v1/keys").await;
    let keys: Vec<_> = keys["keys"].as_array().unwrap().iter().collect();
    let seen = keys.iter().map(|key| (&key["use_here"], &key["state"]));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [
            (&json!("signing"), &json!("available")),
            (&json!("published"), &json!("verify-only")),
            (&json!("published"), &json!("not-in-force")),
        ]
    );
}

#[tokio::test]
async fn a_service_without_its_daemon_is_alive_and_not_ready() {
    let world = World::new();
    let caller = world.with_caller().await;
    let ready = text(&caller, "/readyz").await;
    assert_eq!(ready.lines().next(), Some("ready"), "{ready}");
    world.stop_daemon();
    assert_eq!(text(&caller, "/healthz").await, "ok\n");
    let reply = caller
        .http
        .get(&format!("{}/readyz", caller.base))
        .await
        .unwrap();
    assert_eq!(json_of(&reply, 503)["code"], "signing-unavailable");
    assert_eq!(reply.headers["retry-after"], "1");
}

#[tokio::test]
async fn metrics_count_what_was_signed_refused_and_sampled() {
    let world = World::new();
    let caller = world.with_caller().await;
    let asked = Phone::new(1).asks(SUBJECT);
    for status in [201, 409] {
        json_of(&caller.post("/v1/credentials", &[], &asked).await, status);
    }
    let metrics = text(&caller, "/metrics").await;
    for line in [
        "obol_issuer_credentials_total 1",
        "obol_issuer_refused_total{code=\"device-key-reused\"} 1",
        "obol_issuer_sampled_total 1",
        "obol_issuer_sample_failures_total 0",
        "obol_issuer_waiting 0",
        "obol_issuer_shards_away 0",
        "obol_issuer_http_requests_total{route=\"/v1/credentials\",status=\"201\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

async fn named(caller: &Caller, id: &str) -> Reply {
    let request = Request::get(format!("{}/healthz", caller.base)).header("X-Request-Id", id);
    let request = request.body(Bytes::new()).unwrap();
    caller.http.send(request).await.unwrap()
}

#[tokio::test]
async fn a_request_keeps_a_usable_name_and_gets_one_otherwise() {
    let world = World::new();
    let caller = world.with_caller().await;
    assert_eq!(
        named(&caller, "ride-7").await.headers["x-request-id"],
        "ride-7"
    );
    let given = named(&caller, "no name").await;
    let given = given.headers["x-request-id"].to_str().unwrap().to_owned();
    assert!(
        given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{given}"
    );
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    let world = World::new();
    let caller = world.with_caller().await;
    let url = format!("{}/v1/credentials", caller.base);
    let body = Bytes::from(serde_json::to_vec(&Phone::new(1).asks(SUBJECT)).unwrap());
    let reply = caller.http.post(&url, "text/plain", body).await.unwrap();
    assert_eq!(json_of(&reply, 415)["code"], "unsupported-media-type");
}
