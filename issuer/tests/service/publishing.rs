//! From a command to the bus: the shipped binary publishes what the platform commands.

use std::time::Instant;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::{Credential, Kid, UnixTime};
use obol_fare::{ClassSet, Currency, FarePack, FareRule, RuleId, Tariff, ZoneSet};
use obol_transport::http::Request;
use obol_transport::{Bytes, Reply};
use obol_trust::tuf::{Client, P256, Stored};
use obol_trust::{StatusList, SuspendedKeys};
use serde_json::json;

use crate::daemon::online_ids;
use crate::process::{PATIENCE, Service, asked, world_and_platform};
use crate::world::{Caller, SUBJECT, World, json_of, today};

#[path = "../publisher/officers.rs"]
pub(crate) mod officers;
use officers::House;

fn configure(world: &World, house: &House) {
    let [timestamp, snapshot, denylist, fares] = online_ids();
    let text = std::fs::read_to_string(world.path("issuer.toml")).unwrap();
    let (repository, offline) = (house.repository(), house.offline());
    let section = format!(
        "{text}\n[publisher]\nrepository = {repository:?}\noffline = {offline:?}\n\
         state = \"publisher\"\ntimestamp = \"{timestamp}\"\nsnapshot = \"{snapshot}\"\n\
         denylist = \"{denylist}\"\nfares = \"{fares}\"\n"
    );
    world.write("issuer.toml", &section);
}

fn file(house: &House, client: &Client<P256>, path: &str) -> Option<Vec<u8>> {
    let files = client.files_of("denylist");
    let found = files.iter().find(|file| file.path == path)?;
    std::fs::read(house.repository().join("targets").join(&found.location)).ok()
}

/// Follows the repository until `there`, and says how long that took.
async fn until(house: &House, there: impl Fn(&Client<P256>) -> bool) -> std::time::Duration {
    let begun = Instant::now();
    let mut stored = Stored::default();
    loop {
        if let Ok(client) = house.follow(&mut stored, UnixTime(today()))
            && there(&client)
        {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "it is not published");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_rider_and_a_suspended_key_are_in_the_repository_seconds_after_the_command() {
    let (world, platform) = world_and_platform();
    let house = House::new();
    configure(&world, &house);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let issued = json_of(&caller.post("/v1/credentials", &[], &asked(1)).await, 201);
    let credential = issued["credential"].as_str().unwrap();
    let bytes = BASE64URL_NOPAD.decode(credential.as_bytes()).unwrap();
    let credential = Credential::decode(&bytes).unwrap();
    let (kid, claims) = (credential.kid(), *credential.claims());
    let path = format!("denylist/{kid}-{}.cbor", claims.issued_at.0 / 86_400);
    let denies = |client: &Client<P256>| {
        let list = StatusList::decode(&file(&house, client, &path).unwrap()).unwrap();
        list.denies(claims.fare.status_index).unwrap()
    };
    until(&house, |client| !denies(client)).await;

    let handle = HEXLOWER.encode(&SUBJECT);
    let command = format!("/v1/subjects/{handle}/revoke");
    let reason = json!({ "reason": "phone stolen" });
    json_of(&caller.post(&command, &[], &reason).await, 200);
    let took = until(&house, denies).await;
    eprintln!("a revocation was in the repository after {took:?}");

    let command = format!("/v1/keys/{kid}/suspend");
    let blocked = json_of(&caller.post(&command, &[], &reason).await, 200);
    assert_eq!(blocked["suspended"], true);
    let took = until(&house, |client| suspends(&house, client, kid)).await;
    eprintln!("a suspended key was in the repository after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_service_signs_with_the_keys_that_officers_name_in_the_place_of_others() {
    let (world, platform) = world_and_platform();
    let mut house = House::new();
    configure(&world, &house);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    until(&house, |client| client.timestamp().is_some()).await;
    house.rotate_online(&[1, 2]);
    house.sign_targets_for(
        [27, 28],
        "emergency",
        1_000,
        60 * officers::DAY,
        officers::BUNDLE,
    );
    // A terminal that has followed both documents believes no other key than the new ones.
    until(&house, |client| {
        let targets = client.targets("targets").unwrap();
        client.root().head.version == 2 && targets.head.version == 1_000
    })
    .await;
    let kid = caller.get("/v1/keys").await["keys"][0]["kid"].clone();
    let kid = kid.as_str().unwrap();
    let reason = json!({ "reason": "the depot was broken into" });
    let suspend = format!("/v1/keys/{kid}/suspend");
    json_of(&caller.post(&suspend, &[], &reason).await, 200);
    let kid = obol_issuer::publisher::read_kid(kid).unwrap();
    until(&house, |client| suspends(&house, client, kid)).await;
}

fn suspends(house: &House, client: &Client<P256>, kid: Kid) -> bool {
    let bytes = file(house, client, "denylist/suspended.cbor").unwrap();
    SuspendedKeys::decode(&bytes).unwrap().contains(kid)
}

fn fares(house: &House, client: &Client<P256>) -> Option<Vec<u8>> {
    let files = client.files_of("fares");
    let found = files
        .iter()
        .find(|file| file.path == "fares/city-bus.cbor")?;
    std::fs::read(house.repository().join("targets").join(&found.location)).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_key_signs_no_more_and_the_issuers_own_operator_alone_lifts_the_block() {
    let (world, platform) = world_and_platform();
    let operator = world.identity("operator", "obol://issuer/operator");
    let clients = [
        ("obol://platform/main", &platform),
        ("obol://issuer/operator", &operator),
    ];
    world.write_config(&clients);
    let house = House::new();
    configure(&world, &house);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let kid = caller.get("/v1/keys").await["keys"][0]["kid"].clone();
    let kid = kid.as_str().unwrap();
    let reason = json!({ "reason": "the depot was broken into" });
    let at = |act: &str| format!("/v1/keys/{kid}/{act}");
    let held = json_of(&caller.post(&at("suspend"), &[], &reason).await, 200);
    assert_eq!(held["reason"], "the depot was broken into");
    assert_eq!(held["changed_by"], "obol://platform/main");
    let other = json!({ "reason": "again" });
    let again = json_of(&caller.post(&at("suspend"), &[], &other).await, 200);
    assert_eq!(again, held);

    let refused = json_of(&caller.post("/v1/credentials", &[], &asked(1)).await, 503);
    assert_eq!(refused["code"], "no-signing-key");
    assert_eq!(
        caller.get("/v1/keys").await["keys"][0]["state"],
        "suspended"
    );
    let refused = json_of(&caller.post(&at("resume"), &[], &reason).await, 403);
    assert_eq!(refused["code"], "role-not-allowed");

    // Durable: killed and started again, it knows.
    drop(service);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    json_of(&caller.post("/v1/credentials", &[], &asked(2)).await, 503);
    let operator = service.caller(&world, &operator);
    let lifted = json_of(&operator.post(&at("resume"), &[], &reason).await, 200);
    assert_eq!(lifted["suspended"], false);
    json_of(&caller.post("/v1/credentials", &[], &asked(3)).await, 201);
    let kid = Kid(u32::from_str_radix(kid, 16).unwrap().to_be_bytes());
    until(&house, |client| !suspends(&house, client, kid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_keys_that_are_none_or_nowhere_published_are_refused() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let kid = caller.get("/v1/keys").await["keys"][0]["kid"].clone();
    let reason = json!({ "reason": "a drill" });
    for (kid, status, code) in [
        (kid.as_str().unwrap(), 404, "not-publishing"),
        ("00000000", 404, "key-unknown"),
        ("ABCDEF01", 400, "malformed-request"),
        ("abc", 400, "malformed-request"),
    ] {
        let path = format!("/v1/keys/{kid}/suspend");
        let refused = json_of(&caller.post(&path, &[], &reason).await, status);
        assert_eq!(refused["code"], code, "{kid}");
    }
}

fn pack(valid_from: u32, valid_until: u32, amount_minor: u32) -> FarePack {
    let everybody = FareRule {
        id: RuleId(1),
        classes: ClassSet(u32::MAX),
        zones: ZoneSet::ALL,
        times: Vec::new(),
        amount_minor,
    };
    let (from, until) = (UnixTime(valid_from), UnixTime(valid_until));
    let currency = Currency::new("CNY").unwrap();
    FarePack::new(Tariff::plain(currency, from, until, vec![everybody])).unwrap()
}

async fn push(caller: &Caller, pack: &[u8], replaces: Option<&FarePack>) -> Reply {
    let url = format!("{}/v1/fare-packs/city-bus", caller.base);
    let mut request = Request::put(url).header("Content-Type", "application/cbor");
    if let Some(replaces) = replaces {
        request = request.header("If-Match", format!("\"{}\"", replaces.id()));
    }
    let body = Bytes::copy_from_slice(pack);
    caller.http.send(request.body(body).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_fare_pack_is_published_and_one_that_leads_back_is_not() {
    let (world, platform) = world_and_platform();
    let house = House::new();
    configure(&world, &house);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let (now, day) = (today(), 86_400);
    let first = pack(now - 2 * day, now + day, 200);
    let pushed = json_of(&push(&caller, first.bytes(), None).await, 200);
    assert_eq!(pushed["pack"], first.id().to_string());
    until(&house, |client| {
        fares(&house, client).as_deref() == Some(first.bytes())
    })
    .await;

    let second = pack(now - day, now + day, 300);
    json_of(&push(&caller, second.bytes(), None).await, 200);
    json_of(&push(&caller, second.bytes(), None).await, 200);
    // The same second: only by whoever names what it corrects.
    let correction = pack(now - day, now + day, 250);
    let cases = [
        (first.bytes(), None, 409, "fare-pack-older"),
        (first.bytes(), Some(&second), 409, "fare-pack-older"),
        (correction.bytes(), None, 409, "fare-pack-older"),
        (correction.bytes(), Some(&first), 412, "fare-pack-changed"),
        (b"no pack", None, 400, "fare-pack-malformed"),
        (&[0; 32 * 1024 + 1], None, 413, "body-too-large"),
    ];
    for (bytes, replaces, status, code) in cases {
        let refused = json_of(&push(&caller, bytes, replaces).await, status);
        assert_eq!(refused["code"], code);
    }
    for other in [pack(now + 60, now + day, 1), pack(now - day, now - 60, 1)] {
        let refused = json_of(&push(&caller, other.bytes(), None).await, 422);
        assert_eq!(refused["code"], "fare-pack-not-in-force");
    }
    json_of(&push(&caller, correction.bytes(), Some(&second)).await, 200);

    drop(service);
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    let url = format!("{}/v1/fare-packs/city-bus", caller.base);
    let kept = caller.http.get(&url).await.unwrap();
    assert_eq!(kept.body, correction.bytes());
    until(&house, |client| {
        fares(&house, client).as_deref() == Some(correction.bytes())
    })
    .await;
    let stranger = format!("{}/v1/fare-packs/metro", caller.base);
    let refused = json_of(&caller.http.get(&stranger).await.unwrap(), 404);
    assert_eq!(refused["code"], "operator-unknown");
}
