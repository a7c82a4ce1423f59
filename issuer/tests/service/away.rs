//! A token that is gone or hangs: who needs it is told at once, others do not notice, and nobody has
//! to do anything when it is back.

use std::time::{Duration, Instant};

use obol_issuer::Config;
use obol_issuer_client::IssuerClientError as E;
use obol_transport::Reply;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::daemon::Fault::{Off, On};
use crate::fleet::{Fleet, ask};
use crate::process::PATIENCE;
use crate::world::{Caller, Phone, World, fresh_key, json_of};

const KEY: (&str, &str) = ("Idempotency-Key", "order-7");

/// Two shards, each in a token of its own.
async fn two_shards(world: &World) -> Caller {
    let platform = world.identity("platform", "obol://platform/main");
    world.write_config(&[("obol://platform/main", &platform)]);
    let text = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    let both = "signing = [\"issuer.pem\", \"second.pem\"]";
    world.write(
        "issuer.toml",
        &text.replace("signing = \"issuer.pem\"", both),
    );
    let config = Config::load(&world.path("issuer.toml")).unwrap();
    world.caller_of(config, platform).await
}

/// Subjects of the first shard and of the second.
async fn subjects(world: &World, caller: &Caller) -> [[u8; 16]; 2] {
    let mut found = [None, None];
    for number in 0_u8.. {
        let subject = [number; 16];
        let asked = Phone::numbered(30_000 + u32::from(number)).asks(subject);
        let kid = json_of(&caller.post("/v1/credentials", &[], &asked).await, 201)["kid"].clone();
        let shard = usize::from(kid != json!(world.kid().to_string()));
        found[shard].get_or_insert(subject);
        if let [Some(first), Some(second)] = found {
            return [first, second];
        }
    }
    unreachable!("one of 256 subjects is the other shard's")
}

async fn asked(caller: &Caller, subject: [u8; 16], phone: u32) -> Reply {
    let body = Phone::numbered(phone).asks(subject);
    caller.post("/v1/credentials", &[], &body).await
}

fn is_away(reply: &Reply) -> bool {
    reply.status == 503
        && json_of(reply, 503)["code"] == "issuer-key-unavailable"
        && reply.headers["retry-after"] == "1"
}

/// Asks with fresh phones until the answer is as expected; how often it was not.
async fn until(
    caller: &Caller,
    subject: [u8; 16],
    mut phone: u32,
    expected: fn(&Reply) -> bool,
) -> u32 {
    let begun = Instant::now();
    for others in 0.. {
        phone += 1;
        if expected(&asked(caller, subject, phone).await) {
            return others;
        }
        assert!(begun.elapsed() < PATIENCE, "it stays as it is");
        sleep(Duration::from_millis(50)).await;
    }
    unreachable!("time is bounded")
}

/// The daemon has said a few times that the token is away: nobody tries any more. What stands in the
/// register then.
async fn nobody_tries(world: &World, token: usize, caller: &Caller, subject: [u8; 16]) -> u32 {
    let (begun, mut phone) = (
        Instant::now(),
        40_000 + 1000 * u32::try_from(token).unwrap(),
    );
    loop {
        let before = (world.token(token).asked(), world.reserved());
        let mut told = 0;
        for _ in 0..10 {
            phone += 1;
            told += u32::from(is_away(&asked(caller, subject, phone).await));
            sleep(Duration::from_millis(100)).await;
        }
        if told == 10 && before == (world.token(token).asked(), world.reserved()) {
            return before.1;
        }
        assert!(begun.elapsed() < PATIENCE, "somebody still tries");
    }
}

async fn states(caller: &Caller) -> Vec<Value> {
    let keys = caller.get("/v1/keys").await;
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["state"].clone()).collect()
}

async fn ready(caller: &Caller) -> Reply {
    let url = format!("{}/readyz", caller.base);
    caller.http.get(&url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_token_is_gone_is_answered_at_once_and_the_other_goes_on() {
    let world = World::new();
    let caller = two_shards(&world).await;
    let [first, second] = subjects(&world, &caller).await;
    world.token(0).set(|token| &token.away, On);
    let reserved = nobody_tries(&world, 0, &caller, first).await;
    for phone in 100..110 {
        json_of(&asked(&caller, second, phone).await, 201);
        assert!(is_away(&asked(&caller, first, 100 + phone).await));
    }
    // Of the refused nothing was written down.
    assert_eq!(world.reserved(), reserved + 10);
    assert_eq!(states(&caller).await, ["unavailable", "available"]);
    assert_eq!(ready(&caller).await.status, 200);
    let metrics = caller.http.get(&format!("{}/metrics", caller.base)).await;
    let metrics = String::from_utf8(metrics.unwrap().body.to_vec()).unwrap();
    assert!(
        metrics.contains("\nobol_issuer_shards_away 1\n"),
        "{metrics}"
    );
    let batch = json!({ "items": [
        Phone::numbered(20_000).asks(first),
        Phone::numbered(20_001).asks(second),
    ] });
    let reply = json_of(
        &caller.post("/v1/credentials/batch", &[], &batch).await,
        200,
    );
    let results = &reply["results"];
    assert_eq!(results[0]["problem"]["code"], "issuer-key-unavailable");
    assert!(results[1]["credential"].is_string());

    world.token(1).set(|token| &token.away, On);
    nobody_tries(&world, 1, &caller, second).await;
    assert!(is_away(&ready(&caller).await));
    let whole = caller.post("/v1/credentials/batch", &[], &batch).await;
    assert!(is_away(&whole));

    // It comes back by itself, and so do the phones that were refused.
    world.token(0).set(|token| &token.away, Off);
    until(&caller, first, 22_000, |reply| reply.status == 201).await;
    json_of(&asked(&caller, first, 200).await, 201);
    assert_eq!(states(&caller).await, ["available", "unavailable"]);
    assert_eq!(ready(&caller).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_to_a_token_that_hangs_one_at_a_time_waits_and_what_was_signed_is_given_again()
{
    let world = World::new();
    let caller = two_shards(&world).await;
    let [first, _] = subjects(&world, &caller).await;
    let signed = Phone::numbered(1).asks(first);
    let made = json_of(&caller.post("/v1/credentials", &[KEY], &signed).await, 201);
    world.token(0).set(|token| &token.hangs, On);
    // The first waits for the daemon's deadline; it was taken, and keeps its name.
    let open = Phone::numbered(2).asks(first);
    let name = ("Idempotency-Key", "order-8");
    let reply = caller.post("/v1/credentials", &[name], &open).await;
    assert_eq!(json_of(&reply, 503)["code"], "signing-unavailable");

    let before = world.token(0).asked();
    let many: Vec<_> = (100..160)
        .map(|phone| {
            let caller = caller.clone();
            tokio::spawn(async move { asked(&caller, first, phone).await })
        })
        .collect();
    let mut waited = 0;
    for reply in many {
        waited += u32::from(!is_away(&reply.await.unwrap()));
    }
    // Each that was let through tried alone; the rest had no part in it.
    let tries = world.token(0).asked() - before;
    assert!(
        waited == tries && tries < 30,
        "{waited} waited, {tries} tries"
    );
    let again = caller.post("/v1/credentials", &[KEY], &signed).await;
    assert_eq!(json_of(&again, 201)["cti"], made["cti"]);

    // A batch tries with all its items: it is signed as a whole.
    world.token(0).set(|token| &token.hangs, Off);
    let items: Vec<_> = (2000..2050)
        .map(|phone| Phone::numbered(phone).asks(first))
        .collect();
    let batch = json!({ "items": items });
    let begun = Instant::now();
    let results = loop {
        let reply = caller.post("/v1/credentials/batch", &[], &batch).await;
        if reply.status == 200 {
            break json_of(&reply, 200)["results"].clone();
        }
        assert!(is_away(&reply) && begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    };
    let results = results.as_array().unwrap();
    assert!(
        results
            .iter()
            .all(|result| result["credential"].is_string())
    );
    let begun = Instant::now();
    let cti = loop {
        let reply = caller.post("/v1/credentials", &[name], &open).await;
        if reply.status == 201 {
            break json_of(&reply, 201)["cti"].clone();
        }
        assert!(begun.elapsed() < PATIENCE, "it is not signed: {reply:?}");
        sleep(Duration::from_millis(50)).await;
    };
    let again = caller.post("/v1/credentials", &[name], &open).await;
    assert_eq!(json_of(&again, 201)["cti"], cti);
    assert_eq!(states(&caller).await[0], "available");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_passes_over_an_issuer_whose_token_is_away_and_returns_by_itself() {
    let fleet = Fleet::new().await;
    let subject = fleet.subjects_of("south").next().unwrap();
    let sign = async |phone: u32| fleet.client.sign(fresh_key(), &ask(subject, phone)).await;
    fleet.worlds[1].token(0).set(|token| &token.away, On);
    // It may have been taken before it was known that the token is away: after two answers without
    // a signature nobody waits, since another issuer is there.
    let open = sign(0).await.unwrap_err();
    assert!(matches!(open, E::Unsettled { .. }), "{open:?}");
    assert_eq!(fleet.faults[1].arrived(), 2);
    let begun = Instant::now();
    for phone in 1.. {
        match sign(phone).await {
            Ok(issued) if issued.issuer == "north" => break,
            Err(E::Unsettled { placement, .. }) => assert_eq!(placement.issuer, "south"),
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "south is never passed over");
    }
    // Everything that is new goes north from now on, and none of it is left open.
    for phone in 100..105 {
        assert_eq!(sign(phone).await.unwrap().issuer, "north");
    }
    fleet.worlds[1].token(0).set(|token| &token.away, Off);
    let begun = Instant::now();
    for phone in 200.. {
        if sign(phone).await.unwrap().issuer == "south" {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the subject does not come back");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_says_nothing_is_not_waited_for() {
    let world = World::new();
    let caller = two_shards(&world).await;
    let [first, second] = subjects(&world, &caller).await;
    world.token(0).set(|token| &token.daemon_stopped, On);
    // It was taken, and is answered before its own deadline: the rest need not wait at all.
    let open = Phone::numbered(1).asks(first);
    let reply = caller.post("/v1/credentials", &[KEY], &open).await;
    assert_eq!(json_of(&reply, 503)["code"], "signing-unavailable");
    let reserved = world.reserved();
    for (phone, subject) in [(2, first), (3, second), (4, first)] {
        assert!(is_away(&asked(&caller, subject, phone).await));
    }
    assert_eq!(world.reserved(), reserved);
    assert_eq!(ready(&caller).await.status, 503);
    assert_eq!(states(&caller).await, ["unavailable", "unavailable"]);

    world.token(0).set(|token| &token.daemon_stopped, Off);
    until(&caller, first, 100, |reply| reply.status == 201).await;
    until(&caller, second, 200, |reply| reply.status == 201).await;
    let reply = caller.post("/v1/credentials", &[KEY], &open).await;
    json_of(&reply, 201);
    assert_eq!(ready(&caller).await.status, 200);
}
