use obol_mint::NOW;
use obol_platform::{App, Fleet, Scope};
use obol_store::Kept;
use serde_json::json;

use crate::{bus::Bus, phone::Phone, town::Town};

fn refused(reason: &str) -> serde_json::Value {
    json!({ "rejected": { "reason": reason } })
}

#[tokio::test]
async fn a_ride_under_a_key_younger_than_the_bundle_makes_the_platform_ask_the_issuer() {
    let town = Town::new().await;
    let [old, new] = [11, 21].map(|secret| town.authorities.issuer_key(secret));
    town.issuer.publish(&[&old]);
    town.app.refresh_trust().await.unwrap();
    town.issuer.publish(&[&old, &new]);
    let (ada, _) = Phone::rider(&town).await;
    let mut held = ada.ask_credential().await.unwrap();
    let mut bus = Bus::new(&town, "bus-1");
    assert_eq!(bus.ride(&mut held).await, "accepted");
    assert_eq!(ada.amounts().await, [-200, 5_000]);
    assert_eq!(town.issuer.bundles_served(), 2);
    // A key that is known is no reason to ask.
    assert_eq!(bus.ride(&mut held).await, "accepted");
    assert_eq!(town.issuer.bundles_served(), 2);
}

#[tokio::test]
async fn a_ride_refused_while_the_issuer_was_away_is_charged_when_it_is_back() {
    let town = Town::new().await;
    let [old, new] = [11, 21].map(|secret| town.authorities.issuer_key(secret));
    town.issuer.publish(&[&old]);
    town.app.refresh_trust().await.unwrap();
    let (ada, _) = Phone::rider(&town).await;
    town.issuer.publish(&[&new]);
    let mut held = ada.ask_credential().await.unwrap();
    town.issuer.publish(&[]);
    let mut bus = Bus::new(&town, "bus-1");
    assert_eq!(bus.ride(&mut held).await, refused("UNKNOWN_KEY"));
    assert_eq!(bus.ride(&mut held).await, refused("UNKNOWN_KEY"));
    assert_eq!(
        town.issuer.bundles_served(),
        2,
        "asked once, not for each upload"
    );
    let listed = App::books_to_read(&town.config())
        .unwrap()
        .not_charged()
        .unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].kept, Kept::Rejected("UNKNOWN_KEY".into()));

    town.issuer.publish(&[&new]);
    town.app.refresh_trust().await.unwrap();
    let app = std::sync::Arc::clone(&town.app);
    let sweep = move || app.reexamine(Scope::WhatMayPass).unwrap();
    let found = tokio::task::spawn_blocking(sweep).await.unwrap();
    assert_eq!((found.accepted, found.refused), (2, 0));
    assert_eq!(ada.amounts().await, [-200, -200, 5_000]);
}

#[tokio::test]
async fn a_late_ride_of_a_key_that_has_left_the_bundle_is_charged() {
    let town = Town::new().await;
    let [old, new] = [11, 21].map(|secret| town.authorities.issuer_key(secret));
    town.issuer.publish(&[&old]);
    town.app.refresh_trust().await.unwrap();
    let (ada, _) = Phone::rider(&town).await;
    let mut held = ada.ask_credential().await.unwrap();
    town.issuer.publish(&[&new]);
    town.app.refresh_trust().await.unwrap();
    let mut bus = Bus::new(&town, "bus-1");
    assert_eq!(bus.ride(&mut held).await, "accepted");

    // After a restart the key is still known, from the books alone.
    let bundle = town.folder.path().join("trust-bundle.cbor");
    std::fs::remove_file(bundle).unwrap();
    let app = town.reopened();
    let kids: Vec<_> = app.issuer_kids();
    assert_eq!(kids.len(), 2, "{kids:?}");
}

#[tokio::test]
async fn a_truncated_copy_of_the_trust_bundle_does_not_keep_the_platform_down() {
    let town = Town::new().await;
    town.issuer.publish(&[&town.authorities.issuer_key(11)]);
    town.app.refresh_trust().await.unwrap();
    let file = town.folder.path().join("trust-bundle.cbor");
    let whole = std::fs::read(&file).unwrap();
    for damage in [&whole[..whole.len() / 2], b""] {
        std::fs::write(&file, damage).unwrap();
        town.reopened().refresh_trust().await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
}

#[tokio::test]
async fn what_terminals_tell_of_their_news_is_kept_for_plans_and_keeps_no_ride_out() {
    let town = Town::new().await;
    let key = town.authorities.issuer_key(11);
    town.issuer.publish(&[&key]);
    town.app.refresh_trust().await.unwrap();
    let (ada, _) = Phone::rider(&town).await;
    let mut held = ada.ask_credential().await.unwrap();
    let [mut told, mut silent] = ["bus-1", "bus-2"].map(|name| Bus::new(&town, name));
    let report = |refreshed: u32, silence_s: u32| {
        let health = json!({ "clock": NOW.0, "waiting": 1, "trust": "fresh",
                             "software": "obol-pos 0.1.0", "refreshed": refreshed,
                             "silence_s": silence_s });
        Some(health.to_string())
    };
    told.health = report(NOW.0 - 60, 660);
    assert_eq!(told.ride(&mut held).await, "accepted");
    // Its own word, and one that is none.
    told.health = report(NOW.0 - 30, 7_200);
    assert_eq!(told.ride(&mut held).await, "accepted");
    silent.health = Some(r#"{"refreshed":1}"#.to_owned());
    assert_eq!(silent.ride(&mut held).await, "accepted");
    let books = App::books_to_read(&town.config()).unwrap();
    let fleet = Fleet::of(books.fleet().unwrap(), NOW);
    let expected = "[[terminals]]\nname = \"bus-1\"\nintervals_s = [7200]\n";
    assert!(fleet.text.contains(expected), "{}", fleet.text);
    let unknown: Vec<_> = fleet.unknown.iter().map(|name| name.as_str()).collect();
    assert_eq!((fleet.known, unknown), (1, vec!["bus-2"]));
}
