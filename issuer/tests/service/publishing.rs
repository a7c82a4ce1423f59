//! From a command to the bus: the shipped binary publishes what the platform commands.

use std::time::Instant;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::{Credential, UnixTime};
use obol_trust::tuf::{Client, P256, Stored};
use obol_trust::{StatusList, SuspendedKeys};
use serde_json::json;

use crate::daemon::online_ids;
use crate::process::{PATIENCE, Service, asked, world_and_platform};
use crate::world::{SUBJECT, World, json_of, today};

#[path = "../publisher/officers.rs"]
mod officers;
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

    world.write("publisher/suspended", &format!("{kid}\n"));
    let took = until(&house, |client| {
        let bytes = file(&house, client, "denylist/suspended.cbor").unwrap();
        SuspendedKeys::decode(&bytes).unwrap().contains(kid)
    });
    let took = took.await;
    eprintln!("a suspended key was in the repository after {took:?}");
}
