//! The whole service over real sockets: mTLS in front, the daemon's protocol behind.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod away;
mod calls;
mod crashes;
mod daemon;
mod doors;
mod enrolment;
mod expiry;
mod faults;
mod fleet;
mod hostile;
mod hostile_two;
mod lists;
mod live;
mod process;
mod proofs;
mod publishing;
mod raw;
mod repeats;
mod slow_two;
mod standing;
mod store;
mod succession;
mod terminal;
mod wide;
mod world;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::{Credential, UnixTime};
use obol_issuer::StartError;
use obol_issuer_client::IssuerClientError;
use obol_transport::{Bytes, HttpsClient, Problem};
use obol_trust::TrustBundle;
use p384::ecdsa::signature::Verifier;
use world::{NOW, Phone, Platform, SUBJECT, World};

const DAY: u32 = 86_400;

fn code_of<T: std::fmt::Debug>(result: Result<T, IssuerClientError>) -> String {
    match result.unwrap_err() {
        IssuerClientError::Refused(problem) => problem.code.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_platform_gets_a_credential_that_the_issuer_key_signed() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    let phone = Phone::new(1);
    let issued = client
        .sign_credential(&SUBJECT, 1, &phone.proof(SUBJECT, NOW))
        .await
        .unwrap();
    assert_eq!(issued.expires_at, UnixTime(NOW + DAY));

    let credential = Credential::decode(&issued.credential).unwrap();
    let claims = credential.claims();
    assert_eq!(claims.device_key, phone.device_key());
    assert_eq!(claims.issued_at, UnixTime(NOW));
    assert_eq!(
        (
            claims.fare.class,
            claims.fare.cap_minor,
            claims.fare.window_s
        ),
        (1, 1000, 30)
    );
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&world.issuer_point()).unwrap();
    let signature = p384::ecdsa::Signature::from_slice(credential.signature()).unwrap();
    key.verify(&credential.signature_input(), &signature)
        .unwrap();
}

#[tokio::test]
async fn two_credentials_of_one_passenger_share_nothing_that_links_them() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    let mut names = Vec::new();
    for seed in [1, 2] {
        let proof = Phone::new(seed).proof(SUBJECT, NOW);
        let issued = client.sign_credential(&SUBJECT, 1, &proof).await.unwrap();
        let claims = *Credential::decode(&issued.credential).unwrap().claims();
        names.push((claims.cti, claims.fare.status_index, claims.device_key));
    }
    assert_ne!(names[0].0, names[1].0);
    assert_ne!(names[0].1, names[1].1);
    assert_ne!(names[0].2, names[1].2);
}

#[tokio::test]
async fn a_device_key_is_refused_the_second_time_even_after_a_restart() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    let proof = Phone::new(1).proof(SUBJECT, NOW);
    client.sign_credential(&SUBJECT, 1, &proof).await.unwrap();
    assert_eq!(
        code_of(client.sign_credential(&SUBJECT, 1, &proof).await),
        "device-key-reused"
    );

    let (_, restarted) = world.with_platform().await;
    let again = Phone::new(1).proof([7; 16], NOW);
    assert_eq!(
        code_of(restarted.sign_credential(&[7; 16], 1, &again).await),
        "device-key-reused"
    );
}

#[tokio::test]
async fn a_proof_is_fresh_within_300_seconds_either_way() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    for (seed, at) in [(1, NOW - 301), (2, NOW + 301)] {
        let proof = Phone::new(seed).proof(SUBJECT, at);
        assert_eq!(
            code_of(client.sign_credential(&SUBJECT, 1, &proof).await),
            "possession-stale"
        );
    }
    for (seed, at) in [(3, NOW - 300), (4, NOW + 300)] {
        let proof = Phone::new(seed).proof(SUBJECT, at);
        client.sign_credential(&SUBJECT, 1, &proof).await.unwrap();
    }
}

#[tokio::test]
async fn a_proof_for_another_subject_or_by_another_key_is_refused() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    let other = Phone::new(1).proof([7; 16], NOW);
    assert_eq!(
        code_of(client.sign_credential(&SUBJECT, 1, &other).await),
        "possession-subject"
    );

    let mut unsigned = Phone::new(1).proof(SUBJECT, NOW);
    let last = unsigned.len() - 1;
    unsigned[last] ^= 1;
    let refused = client.sign_credential(&SUBJECT, 1, &unsigned).await;
    assert_eq!(code_of(refused), "possession-signature");
}

#[tokio::test]
async fn a_class_that_is_not_configured_is_refused() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    let proof = Phone::new(1).proof(SUBJECT, NOW);
    assert_eq!(
        code_of(client.sign_credential(&SUBJECT, 9, &proof).await),
        "class-unknown"
    );
}

#[tokio::test]
async fn a_valid_certificate_that_is_not_registered_gets_nothing() {
    let world = World::new();
    let (base, _) = world.with_platform().await;
    let anchor = world.anchor();
    let same_name = world.identity("other", "obol://platform/main");
    let bare = HttpsClient::new(&anchor, Some(same_name.clone()));
    let client = Platform::of(&base, &anchor, same_name);
    let proof = Phone::new(1).proof(SUBJECT, NOW);
    assert_eq!(
        code_of(client.sign_credential(&SUBJECT, 1, &proof).await),
        "not-registered"
    );
    assert_eq!(code_of(client.trust_bundle().await), "not-registered");
    let health = bare.get(&format!("{base}/healthz")).await.unwrap();
    assert_eq!(health.success().unwrap_err().code, "not-registered");
}

#[tokio::test]
async fn a_terminal_gets_the_bundle_and_no_credential() {
    let world = World::new();
    let terminal = world.identity("terminal", "obol://terminal/bus-7");
    let config = world.config(&[("obol://terminal/bus-7", &terminal)]);
    let base = world.start(config).await.unwrap();
    let client = Platform::of(&base, &world.anchor(), terminal);
    let proof = Phone::new(1).proof(SUBJECT, NOW);
    assert_eq!(
        code_of(client.sign_credential(&SUBJECT, 1, &proof).await),
        "role-not-allowed"
    );

    let bytes = client.trust_bundle().await.unwrap();
    let bundle = TrustBundle::decode(&bytes).unwrap();
    assert_eq!(bundle.issued_at(), UnixTime(NOW));
    let [entry] = bundle.entries() else {
        panic!("one key")
    };
    assert_eq!((entry.operator, entry.classes), ("city-bus", 0b110));
    assert_eq!(entry.not_before, UnixTime(NOW - DAY));
    assert_eq!(entry.not_after, UnixTime(NOW + 30 * DAY));
    assert_eq!(entry.point[1..], world.issuer_point()[1..49]);
}

#[tokio::test]
async fn requests_of_another_form_are_problems_with_stable_codes() {
    let world = World::new();
    let (base, _) = world.with_platform().await;
    let platform = world.identity("asker", "obol://platform/asker");
    let config = world.config(&[("obol://platform/asker", &platform)]);
    let base_of_asker = world.start(config).await.unwrap();
    assert_ne!(base, base_of_asker);
    let http = HttpsClient::new(&world.anchor(), Some(platform));
    let url = format!("{base_of_asker}/v1/credentials");
    let code = async |body: Vec<u8>| -> Problem {
        let reply = http
            .post(&url, "application/json", Bytes::from(body))
            .await
            .unwrap();
        reply.success().unwrap_err()
    };
    let subject = HEXLOWER.encode(&SUBJECT);
    let json = |subject: &str, possession: &str, more: &str| {
        format!("{{\"subject\":\"{subject}\",\"class\":1,\"possession\":\"{possession}\"{more}}}")
    };
    for body in [
        String::new(),
        "{}".to_owned(),
        json(&subject, "AA", ",\"amount\":1"),
        json("abc", "AA", ""),
        json(&subject.to_uppercase(), "AA", ""),
        json(&subject, "A=", ""),
    ] {
        assert_eq!(
            code(body.clone().into_bytes()).await.code,
            "malformed-request",
            "{body}"
        );
    }
    let noise = BASE64URL_NOPAD.encode(&[0xff; 100]);
    assert_eq!(
        code(json(&subject, &noise, "").into_bytes()).await.code,
        "possession-malformed"
    );
    assert_eq!(code(vec![b' '; 64 * 1024]).await.code, "body-too-large");
}

#[tokio::test]
async fn a_daemon_that_is_gone_is_a_503_with_nothing_of_the_inside_in_it() {
    let world = World::new();
    let (_, client) = world.with_platform().await;
    world.stop_daemon();
    let proof = Phone::new(1).proof(SUBJECT, NOW);
    let refused = client
        .sign_credential(&SUBJECT, 1, &proof)
        .await
        .unwrap_err();
    // It stands in the register, so it may yet be signed.
    let IssuerClientError::Unsettled { cause, .. } = refused else {
        panic!("{refused:?}")
    };
    let IssuerClientError::Refused(problem) = &*cause else {
        panic!("{cause:?}")
    };
    assert_eq!(
        (problem.status.as_u16(), problem.code.as_ref()),
        (503, "signing-unavailable")
    );
    assert_eq!(problem.detail, "no signature could be had");
}

#[tokio::test]
async fn the_service_refuses_to_start_without_the_daemons_key_for_its_certificate() {
    let world = World::new();
    world.write_foreign_issuer_certificate();
    let error = world.start(world.config(&[])).await.unwrap_err();
    assert!(matches!(error, StartError::KeyMismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn the_service_refuses_to_start_when_no_daemon_answers() {
    let world = World::new();
    world.stop_daemon();
    let error = world.start(world.config(&[])).await.unwrap_err();
    assert!(matches!(error, StartError::Kms { .. }), "{error:?}");
}

#[tokio::test]
async fn the_service_refuses_to_start_with_a_class_outside_the_certificates_scope() {
    let world = World::new();
    let mut config = world.config(&[]);
    let template = config.policy.templates[&1];
    config.policy.templates.insert(3, template);
    let error = world.start(config).await.unwrap_err();
    assert!(
        matches!(error, StartError::ClassOutOfScope { class: 3, .. }),
        "{error:?}"
    );
}
