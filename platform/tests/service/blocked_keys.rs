//! A key is blocked: phones of its credentials are told to renew, and no others.

use obol_credential::{Cti, Kid};
use obol_mint::NOW;
use obol_platform::{NotBlocked, NotHeard, block_key};
use obol_store::{KeysHeard, ToRenew};
use obol_wallet::HeldCredential;
use serde_json::{Value, json};

use crate::{phone::Phone, phone::read, town::Town};

/// What the phone reads in the statement and in an order: the same.
async fn told(phone: &Phone) -> Value {
    let statement = read(&phone.get("/v1/statement", "").await);
    let asked = json!({ "amount_minor": 100, "channel": "simulated-bank" });
    let order = read(&phone.post("/v1/recharges", &asked).await);
    assert_eq!(statement["renew"], order["renew"]);
    statement["renew"].clone()
}

fn name(credential: &HeldCredential) -> Value {
    let Cti(cti) = credential.cti();
    json!([data_encoding::HEXLOWER.encode(&cti)])
}

/// The only answer of the only issuer.
async fn hear(app: &obol_platform::App) -> Result<KeysHeard, NotHeard> {
    let mut all = app.hear_of_keys().await;
    let (issuer, heard) = all.pop().unwrap();
    assert_eq!((issuer.as_str(), all.len()), ("main", 0));
    heard
}

#[tokio::test]
async fn phones_of_a_blocked_key_are_told_to_renew_until_the_block_is_lifted() {
    let town = Town::new().await;
    let [old, new] = [11, 12].map(|secret| town.authorities.issuer_key(secret));
    town.issuer.publish(&[&old]);
    let ((ada, _), (bob, _)) = (Phone::rider(&town).await, Phone::rider(&town).await);
    let first = ada.ask_credential().await.unwrap();
    town.issuer.publish(&[&old, &new]);
    bob.ask_credential().await.map(drop).unwrap();
    assert_eq!(hear(&town.app).await.unwrap(), KeysHeard::default());
    assert_eq!(told(&ada).await, Value::Null);

    let kid = old.entry().kid;
    let marked = block_key(&town.config(), kid, "stolen", NOW).await.unwrap();
    let one = ToRenew {
        credentials: 1,
        wallets: 1,
    };
    assert_eq!(marked, one);
    assert_eq!(told(&ada).await, name(&first));
    assert_eq!(told(&bob).await, Value::Null);
    // Again, and as the service hears it: nothing changes.
    let again = block_key(&town.config(), kid, "stolen", NOW).await.unwrap();
    assert_eq!(again, one);
    assert_eq!(hear(&town.app).await.unwrap(), KeysHeard::default());

    // Whoever did not get the answer asks again; the new one is not among what is to renew.
    let second = ada.ask_credential().await.unwrap();
    assert_ne!(second.cti(), first.cti());
    assert_eq!(told(&ada).await, name(&first));

    town.issuer.resume_key(kid);
    let lifted = KeysHeard {
        lifted: vec![kid],
        ..KeysHeard::default()
    };
    assert_eq!(hear(&town.app).await.unwrap(), lifted);
    assert_eq!(told(&ada).await, Value::Null);
}

#[tokio::test]
async fn a_block_that_another_gave_is_heard_from_the_issuer_and_outlives_its_absence() {
    let town = Town::new().await;
    let key = town.authorities.issuer_key(11);
    town.issuer.publish(&[&key]);
    let (ada, _) = Phone::rider(&town).await;
    let held = ada.ask_credential().await.unwrap();
    let kid = key.entry().kid;
    town.issuer.suspend_key(kid);
    let blocked = KeysHeard {
        blocked: vec![kid],
        ..KeysHeard::default()
    };
    assert_eq!(hear(&town.app).await.unwrap(), blocked);
    assert_eq!(told(&ada).await, name(&held));

    town.issuer.resume_key(kid);
    town.issuer.be_deaf(true);
    let app = town.reopened();
    let away = hear(&app).await.unwrap_err();
    assert!(matches!(away, NotHeard::Issuer { .. }), "{away:?}");
    assert_eq!(told(&ada).await, name(&held));
    // A key that has left the bundle is no longer named: nobody has said that it is good.
    town.issuer.be_deaf(false);
    town.issuer.publish(&[&town.authorities.issuer_key(12)]);
    assert_eq!(hear(&app).await.unwrap(), KeysHeard::default());
    assert_eq!(told(&ada).await, name(&held));
}

#[tokio::test]
async fn a_key_that_no_issuer_knows_marks_nothing() {
    let town = Town::new().await;
    let key = town.authorities.issuer_key(11);
    town.issuer.publish(&[&key]);
    let refused = block_key(&town.config(), Kid([0; 4]), "stolen", NOW).await;
    let Err(NotBlocked::Issuer(said)) = refused else {
        panic!("{refused:?}")
    };
    let expected = "the issuer refused: No such key (key-unknown): 00000000";
    assert_eq!(said.to_string(), expected);
    let books = obol_platform::App::books(&town.config()).unwrap();
    assert_eq!(books.blocked_by("main").unwrap(), []);
}
