//! The file of revocation lists: one of each access CA that is believed, whoever wrote it last.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use obol_credential::UnixTime;
use obol_issuer::{Config, Issuer};
use obol_transport::{Identity, TransportError};
use tokio::time::timeout;

use crate::process::Service;
use crate::succession::{READ_AGAIN, lists};
use crate::terminal::{Bus, said};
use crate::world::{NOW, World};

const PLATFORM: &str = "obol://platform/main";

/// A bus that is enrolled, and the platform.
fn enrolled() -> (Bus, Identity) {
    let bus = Bus::new();
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    let (code, text) = said(&bus.begin(file.to_str().unwrap()));
    assert_eq!(code, 0, "{text}");
    let [certificate, key] = ["platform.pem", "platform.key"].map(|name| bus.world.path(name));
    let platform = Identity::load(&certificate, &key).unwrap();
    (bus, platform)
}

fn access(world: &World) -> String {
    fs::read_to_string(world.path("access.pem")).unwrap()
}

/// The daemon has the next CA's key too, from the next reading of the configuration.
fn with_both_keys(world: &World) {
    let config = fs::read_to_string(world.path("issuer.toml")).unwrap();
    let config = config.replace("\"access-kms.sock\"", "\"both-kms.sock\"");
    world.write("issuer.toml", &config);
}

async fn alert(bus: &Bus, identity: &Identity) -> String {
    match bus.fetches_as(identity).await.unwrap_err() {
        TransportError::CertificateRefused { alert, .. } => alert,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_the_root_certified_again_has_one_list_that_counts_by_either_certificate() {
    let (bus, platform) = enrolled();
    let (first, old) = (bus.own(), access(&bus.world));
    bus.trust(&[&bus.world.access_again(), &old]).await;
    let (code, text) = bus.renew();
    assert_eq!(code, 0, "{text}");
    let second = bus.own();
    for gone in [&first, &second] {
        assert_eq!(bus.fetches_as(gone).await.unwrap(), 200);
        bus.revoke(&platform, gone).await;
        assert_eq!(bus.lists(), 1);
        assert_eq!(alert(&bus, gone).await, "certificate_revoked");
    }
    assert_eq!(bus.fetches_as(&platform).await.unwrap(), 200);

    // What has two of one CA all the same is put right at the start.
    let Bus { world, service, .. } = bus;
    service.stop().await;
    let list = fs::read_to_string(world.path("access.crl.pem")).unwrap();
    world.write("access.crl.pem", &list.repeat(2));
    let _again = Service::start(&world);
    assert_eq!(lists(&world), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_written_into_the_file_of_trust_is_taken_without_a_signal() {
    let (bus, platform) = enrolled();
    let old = access(&bus.world);
    let next = bus.world.next_access();
    with_both_keys(&bus.world);
    bus.world.write("access.pem", &[old, next.pem()].concat());
    bus.until_said(READ_AGAIN, 1).await;
    assert_eq!(bus.lists(), 2);
    let moved = bus.world.certified_again(&next, "platform", PLATFORM);
    assert_eq!(bus.fetches_as(&moved).await.unwrap(), 200);
    // Who revokes knows it as well: its list stays.
    bus.revoke(&platform, &bus.own()).await;
    assert_eq!(bus.lists(), 2);
    assert_eq!(bus.fetches_as(&moved).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_due_while_another_ca_is_being_taken_does_not_cost_that_ca_its_own() {
    let world = World::new();
    let platform = world.identity("platform", PLATFORM);
    world.write_enrolling_config(&[(PLATFORM, &platform)]);
    let config = || Config::load(&world.path("issuer.toml")).unwrap();
    let now = UnixTime(NOW);
    let issuer = Arc::new(Issuer::start(&config(), now).await.unwrap());
    let next = world.next_access();
    with_both_keys(&world);
    let both = [access(&world), next.pem()].concat();
    world.write("access.pem", &both);
    let reopened = issuer.reopen_access(&config(), now).await.unwrap();
    let other = Arc::clone(&issuer);
    let mut upkeep = tokio::spawn(async move { other.keep_list(now).await });
    // It has its turn before the other CA is taken, or after.
    let before = timeout(Duration::from_millis(300), &mut upkeep).await;
    issuer.reload(&config(), reopened, now).await.unwrap();
    match before {
        Ok(ended) => ended.unwrap(),
        Err(_) => upkeep.await.unwrap(),
    }
    assert_eq!(lists(&world), 2);
    // One that was lost is made at the next reading, though nothing else has changed.
    world.write_list(9, &[]);
    issuer.reopen_access(&config(), now).await.unwrap();
    assert_eq!(lists(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_officers_append_takes_the_place_of_their_last_one_and_an_older_one_does_not() {
    let (bus, platform) = enrolled();
    let world = &bus.world;
    let old = access(world);
    let next = world.next_access();
    // The daemon does not have the next one's key.
    let trusted = [&old[..], &next.pem()];
    bus.trust(&trusted).await;
    let moved = world.certified_again(&next, "platform", PLATFORM);
    assert_eq!(alert(&bus, &moved).await, "unknown_ca");
    let append = async |list: &str| {
        let path = world.path("access.crl.pem");
        let file = fs::OpenOptions::new().append(true).open(path);
        file.unwrap().write_all(list.as_bytes()).unwrap();
        bus.trust(&trusted).await;
        assert_eq!(bus.lists(), 2);
    };
    let first = world.list_by(&next, 1, &[]);
    append(&first).await;
    assert_eq!(bus.fetches_as(&moved).await.unwrap(), 200);
    append(&world.list_by(&next, 2, &["platform-again"])).await;
    assert_eq!(alert(&bus, &moved).await, "certificate_revoked");
    append(&first).await;
    assert_eq!(alert(&bus, &moved).await, "certificate_revoked");
    // It outlives what the issuer writes.
    bus.revoke(&platform, &bus.own()).await;
    assert_eq!(bus.lists(), 2);
    assert_eq!(alert(&bus, &moved).await, "certificate_revoked");
}
