use obol_mint::NOW;
use serde_json::json;

use crate::{
    phone::{Phone, read, refusal},
    town::Town,
};

#[tokio::test]
async fn a_phone_enrols_once_and_is_known_by_its_key() {
    let town = Town::new().await;
    let phone = Phone::new(&town);
    let created = phone.post("/v1/passengers", &json!({})).await;
    let again = phone.post("/v1/passengers", &json!({})).await;
    assert_eq!((created.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(read(&created), read(&again));
    assert_eq!(phone.amounts().await, [0; 0]);
}

#[tokio::test]
async fn a_key_nobody_enrolled_is_told_so() {
    let town = Town::new().await;
    let stranger = Phone::new(&town);
    let reply = stranger.get("/v1/statement", "").await;
    assert_eq!(refusal(&reply), (403, "key-not-enrolled".into()));
}

#[tokio::test]
async fn a_proof_is_good_for_one_request_and_this_one() {
    let town = Town::new().await;
    let (phone, _) = Phone::rider(&town).await;
    let proof = phone.proof("GET", "/v1/statement", b"", [0xaa; 16]);
    let first = phone.send_with(&proof, "GET", "/v1/statement", b"").await;
    assert_eq!(first.status, 200);
    for (method, target) in [("GET", "/v1/statement"), ("POST", "/v1/recharges")] {
        let reply = phone.send_with(&proof, method, target, b"{}").await;
        assert_eq!(refusal(&reply), (401, "proof-refused".into()), "{target}");
    }
}

#[tokio::test]
async fn enrolments_of_one_address_are_limited_and_its_known_keys_are_not() {
    let town = Town::new().await;
    let known = Phone::new(&town);
    assert_eq!(known.post("/v1/passengers", &json!({})).await.status, 201);
    for _ in 1..20 {
        let reply = Phone::new(&town).post("/v1/passengers", &json!({})).await;
        assert_eq!(reply.status, 201);
    }
    let reply = Phone::new(&town).post("/v1/passengers", &json!({})).await;
    assert_eq!(refusal(&reply), (429, "too-many-enrolments".into()));
    assert_eq!(read(&reply)["detail"], "ask again in 60 s");
    assert_eq!(known.post("/v1/passengers", &json!({})).await.status, 200);
}

#[tokio::test]
async fn a_statement_has_a_period_and_the_proof_names_no_query() {
    let town = Town::new().await;
    let (phone, account) = Phone::rider(&town).await;
    let paid_at = NOW.0 + 60;
    let whole = read(&phone.get("/v1/statement", "").await);
    assert_eq!(
        (&whole["account"], &whole["closing_minor"]),
        (&json!(account), &json!(5_000))
    );
    let from = format!("?from={paid_at}");
    assert_eq!(read(&phone.get("/v1/statement", &from).await), whole);
    let until = format!("?until={paid_at}");
    let before = read(&phone.get("/v1/statement", &until).await);
    assert_eq!(
        (&before["closing_minor"], &before["lines"]),
        (&json!(0), &json!([]))
    );
    let after = format!("?from={}", paid_at + 1);
    let after = read(&phone.get("/v1/statement", &after).await);
    assert_eq!(
        (&after["opening_minor"], &after["lines"]),
        (&json!(5_000), &json!([]))
    );

    let reversed = phone.get("/v1/statement", "?from=2&until=1").await;
    assert_eq!(refusal(&reversed), (422, "period-reversed".into()));
    let unknown = phone.get("/v1/statement", "?since=1").await;
    assert_eq!(refusal(&unknown), (400, "bad-request".into()));
}

#[tokio::test]
async fn one_account_gets_forty_eight_live_credentials_and_no_more() {
    let town = Town::new().await;
    town.issuer.publish(&[&town.authorities.issuer_key(11)]);
    let ((ada, _), (bob, _)) = (Phone::rider(&town).await, Phone::rider(&town).await);
    for _ in 0..48 {
        ada.ask_credential().await.map(drop).unwrap();
    }
    let refused = ada.ask_credential().await.map(drop).unwrap_err();
    assert_eq!(
        (refused.status.as_u16(), &*refused.code),
        (429, "too-many-credentials")
    );
    bob.ask_credential().await.map(drop).unwrap();
}

#[tokio::test]
async fn credentials_asked_for_at_once_do_not_slip_past_the_limit() {
    let town = Town::new().await;
    town.issuer.publish(&[&town.authorities.issuer_key(11)]);
    let (ada, _) = Phone::rider(&town).await;
    let mut issued = 0;
    for _ in 0..18 {
        let (a, b, c) = tokio::join!(
            ada.ask_credential(),
            ada.ask_credential(),
            ada.ask_credential()
        );
        for asked in [a, b, c] {
            match asked {
                Ok(_) => issued += 1,
                Err(problem) => assert!(
                    ["credential-in-progress", "too-many-credentials"].contains(&&*problem.code),
                    "{problem}"
                ),
            }
        }
    }
    assert!(issued <= 48, "{issued}");
}
