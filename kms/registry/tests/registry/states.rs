//! What a key goes through, and what it may sign there.

use std::path::Path;

use obol_credential::UnixTime;
use obol_kms_registry::{
    Algorithm, CertifyError, ChangeError, Class, NotSignable, PayloadType, RegisterError, SpkiId,
    State,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData};

use crate::world::{ALICE, BOB, DAY, NOW, PROPAGATION, TAIL, WAIT_DAYS, World, later, new_key};

/// An issuer key with a real certificate.
pub(crate) fn certified_issuer(world: &World) -> (SpkiId, Vec<u8>) {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = CertificateParams::default().self_signed(&pair).unwrap();
    let mut key = new_key(Class::Issuer, 0);
    key.spki_der = pair.subject_public_key_info();
    key.spki = SpkiId::of(&key.spki_der);
    world.registry.register(&key, NOW).unwrap();
    (key.spki, certificate.der().to_vec())
}

#[test]
fn a_key_signs_only_after_certificate_publication_waiting_and_two_officers() {
    let world = World::new();
    let (spki, certificate) = certified_issuer(&world);
    let refused = |now| {
        let error = world
            .registry
            .signable(spki, PayloadType::CredentialClaims, now);
        matches!(error, Err(NotSignable::Unpermitted { .. }))
    };
    assert!(refused(NOW));
    assert!(matches!(
        world.registry.publish(spki, NOW),
        Err(ChangeError::NoWay {
            from: State::Generated,
            to: State::Published
        })
    ));
    world.registry.certify(spki, &certificate, NOW).unwrap();
    world.registry.publish(spki, NOW).unwrap();
    assert!(refused(later(PROPAGATION)));

    let early = world
        .go(spki, State::Active, later(PROPAGATION - 1))
        .unwrap_err();
    assert_eq!(
        early.to_string(),
        format!(
            "key {spki} is published and cannot become active before {}",
            later(PROPAGATION)
        )
    );
    world.go(spki, State::Active, later(PROPAGATION)).unwrap();
    let signable = world
        .registry
        .signable(spki, PayloadType::CredentialClaims, later(PROPAGATION))
        .unwrap();
    assert_eq!((signable.spki(), signable.version()), (spki, 4));
    assert_eq!(world.record(spki).certificate, Some(certificate));
}

#[test]
fn every_change_is_on_record_with_time_reason_and_approvers() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let history = world.registry.history(key.spki).unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|change| {
            let officers: Vec<_> = change
                .approvals
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            (
                change.version,
                change.to,
                change.at,
                change.reason.as_str(),
                officers,
            )
        })
        .collect();
    let expected = [
        (1, State::Generated, NOW, "made by its token", vec![]),
        (2, State::Published, NOW, "published", vec![]),
        (
            3,
            State::Active,
            later(PROPAGATION),
            "as planned",
            vec!["alice", "bob"],
        ),
    ];
    assert_eq!(told, expected);
    world.registry.examine().unwrap();
}

#[test]
fn a_key_signs_nothing_of_another_class() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    let error = world
        .registry
        .signable(key.spki, PayloadType::CredentialClaims, NOW)
        .unwrap_err();
    let text = format!(
        "{}: a key of class audit never signs credential-claims",
        key.spki
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_retiring_key_retires_only_when_nothing_it_signed_is_in_use() {
    let world = World::new();
    let key = world.key_in(State::Retiring, 1);
    let since = later(PROPAGATION);
    let early = world
        .go(key.spki, State::Retired, since.plus(TAIL - 1))
        .unwrap_err();
    assert!(matches!(early, ChangeError::TooEarly { until, .. } if until == since.plus(TAIL)));
    world
        .go(key.spki, State::Retired, since.plus(TAIL))
        .unwrap();
}

#[test]
fn a_key_suspended_while_retiring_does_not_come_back_active_and_its_tail_runs_on() {
    let world = World::new();
    let key = world.key_in(State::Retiring, 1);
    let since = later(PROPAGATION);
    world
        .go(key.spki, State::Suspended, since.plus(DAY))
        .unwrap();
    let error = world
        .go(key.spki, State::Active, since.plus(DAY))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a key that came to be suspended from retiring cannot become active"
    );
    world
        .go(key.spki, State::Retiring, since.plus(DAY))
        .unwrap();
    world
        .go(key.spki, State::Retired, since.plus(TAIL))
        .unwrap();
}

#[test]
fn a_destruction_waits_can_be_cancelled_and_goes_back_where_it_came_from() {
    let world = World::new();
    let key = world.key_in(State::Suspended, 1);
    let start = later(PROPAGATION);
    world
        .go(key.spki, State::PendingDestruction, start)
        .unwrap();
    let error = world.go(key.spki, State::Compromised, start);
    assert!(matches!(error, Err(ChangeError::OtherWayBack { .. })));
    let error = world.go(key.spki, State::Retired, start).unwrap_err();
    assert!(matches!(
        error,
        ChangeError::OtherWayBack {
            came_from: State::Suspended,
            to: State::Retired,
            ..
        }
    ));
    let back = world.go(key.spki, State::Suspended, start.plus(1)).unwrap();
    assert_eq!((back.pending_since, back.scheduled_from), (None, None));
    // What it was suspended from is not forgotten on the way.
    world.go(key.spki, State::Active, start.plus(2)).unwrap();
}

#[test]
fn a_destroyed_key_stays_on_record() {
    let world = World::new();
    let key = world.key_in(State::PendingDestruction, 1);
    let start = later(PROPAGATION);
    let last_second = start.plus(WAIT_DAYS * DAY - 1);
    let early = world
        .go(key.spki, State::Destroyed, last_second)
        .unwrap_err();
    assert!(matches!(early, ChangeError::TooEarly { .. }));
    world
        .go(key.spki, State::Destroyed, start.plus(WAIT_DAYS * DAY))
        .unwrap();
    assert_eq!(world.again().list().unwrap(), [world.record(key.spki)]);
    assert_eq!(world.registry.history(key.spki).unwrap().len(), 3);
}

#[test]
fn using_a_key_that_is_to_be_destroyed_raises_an_alarm() {
    let world = World::new();
    let key = world.key_in(State::PendingDestruction, 1);
    let quiet = world.key_in(State::Suspended, 2);
    for at in [5, 6, 9] {
        let now = later(at);
        for spki in [key.spki, quiet.spki] {
            let refused = world
                .registry
                .signable(spki, PayloadType::LogCheckpoint, now);
            assert!(matches!(refused, Err(NotSignable::Unpermitted { .. })));
        }
    }
    let [alarm] = &world.registry.alarms().unwrap()[..] else {
        panic!("one alarm")
    };
    assert_eq!(
        (alarm.spki, alarm.state),
        (key.spki, State::PendingDestruction)
    );
    assert_eq!(
        (alarm.first_at, alarm.last_at, alarm.attempts),
        (later(5), later(9), 3)
    );
}

/// The registry is never told what a token shows, so no view of a token can make it forget.
#[test]
fn a_token_that_looks_empty_takes_no_key_from_the_registry() {
    let world = World::new();
    let keys: Vec<_> = (1..=3)
        .map(|seed| world.key_in(State::Active, seed))
        .collect();
    let before = world.registry.list().unwrap();
    let token_shows: Vec<SpkiId> = Vec::new();
    let unavailable: Vec<_> = before
        .iter()
        .filter(|key| !token_shows.contains(&key.spki))
        .map(|key| key.spki)
        .collect();
    assert_eq!(unavailable.len(), keys.len());
    for spki in unavailable {
        assert!(
            world
                .registry
                .signable(spki, PayloadType::LogCheckpoint, NOW)
                .is_ok()
        );
    }
    assert_eq!(world.again().list().unwrap(), before);
}

#[test]
fn no_statement_of_this_crate_takes_a_row_away() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry");
    let mut read = 0;
    for file in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let text = text.to_uppercase();
        assert!(!text.contains("DELETE FROM") && !text.contains("ON DELETE"));
        read += 1;
    }
    assert!(read > 10);
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let world = World::new();
    let (spki, _) = certified_issuer(&world);
    let (other, certificate) = certified_issuer(&world);
    let error = world.registry.certify(spki, &certificate, NOW).unwrap_err();
    let text = format!("the certificate is for key {other}, not for {spki}");
    assert_eq!(error.to_string(), text);
    let cut = &certificate[..certificate.len() - 1];
    let longer = [certificate.as_slice(), &[0]].concat();
    for bytes in [&[][..], cut, &longer] {
        let error = world.registry.certify(other, bytes, NOW);
        assert!(matches!(error, Err(CertifyError::NotACertificate)));
    }
    let change = world.change(spki, State::Certified);
    let error = world.registry.transition(&change, &[], NOW);
    assert!(matches!(error, Err(ChangeError::CertificateMissing)));
}

#[test]
fn neither_publishing_nor_certifying_takes_a_key_back_from_its_destruction() {
    let world = World::new();
    let (spki, certificate) = certified_issuer(&world);
    world.registry.certify(spki, &certificate, NOW).unwrap();
    world.go(spki, State::PendingDestruction, NOW).unwrap();
    let error = world.registry.certify(spki, &certificate, NOW).unwrap_err();
    let text = "cancel-destruction takes the approval of 2 officers, 0 given";
    assert_eq!(error.to_string(), text);
    let published = world.key_in(State::Published, 1).spki;
    world.go(published, State::PendingDestruction, NOW).unwrap();
    let error = world.registry.publish(published, NOW).unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_key_published_again_after_a_cancelled_destruction_waits_again() {
    let world = World::new();
    let spki = world.key_in(State::Published, 1).spki;
    let cancelled = later(5 * DAY);
    world
        .go(spki, State::PendingDestruction, later(DAY))
        .unwrap();
    world.go(spki, State::Published, cancelled).unwrap();
    let error = world
        .go(spki, State::Active, cancelled.plus(DAY))
        .unwrap_err();
    let expected = cancelled.plus(PROPAGATION);
    assert!(matches!(error, ChangeError::TooEarly { until, .. } if until == expected));
}

#[test]
fn a_key_is_registered_once_and_as_what_it_is() {
    let world = World::new();
    let key = new_key(Class::Audit, 1);
    world.registry.register(&key, NOW).unwrap();
    let again = world.registry.register(&key, NOW);
    assert!(matches!(again, Err(RegisterError::Registered(spki)) if spki == key.spki));

    let mut other = new_key(Class::Audit, 2);
    other.spki = key.spki;
    let wrong_name = world.registry.register(&other, NOW);
    assert!(matches!(wrong_name, Err(RegisterError::Name { .. })));

    let mut other = new_key(Class::Audit, 2);
    (other.class, other.algorithm) = (Class::Root, Algorithm::EcP256);
    let wrong_curve = world.registry.register(&other, NOW).unwrap_err();
    assert_eq!(
        wrong_curve.to_string(),
        "a key of class root is not of algorithm ec-p256"
    );

    let mut other = new_key(Class::Issuer, 2);
    other.algorithm = Algorithm::EcP256;
    let wrong_shape = world.registry.register(&other, NOW);
    assert!(matches!(wrong_shape, Err(RegisterError::PublicKey { .. })));

    for label in ["", "two\nlines", &"x".repeat(65)] {
        let mut other = new_key(Class::Audit, 2);
        other.label = label.to_owned();
        let error = world.registry.register(&other, NOW);
        assert!(matches!(
            error,
            Err(RegisterError::Text { field: "label", .. })
        ));
    }
    assert_eq!(world.registry.list().unwrap().len(), 1);
}

#[test]
fn a_reason_is_one_line() {
    let world = World::new();
    let key = world.key_in(State::Active, 1);
    for reason in ["", "two\nlines", &"x".repeat(201)] {
        let mut change = world.change(key.spki, State::Suspended);
        change.reason = reason.to_owned();
        let approvals = world
            .approvals(key.spki, State::Suspended, NOW, &[ALICE, BOB])
            .unwrap();
        let error = world.registry.transition(&change, &approvals, NOW);
        assert!(matches!(error, Err(ChangeError::Reason(found)) if found == reason));
    }
}

#[test]
fn an_unknown_key_is_nothing_to_anyone() {
    let world = World::new();
    let spki = SpkiId([9; 32]);
    let unknown = world.registry.signable(spki, PayloadType::Crl, UnixTime(0));
    assert!(matches!(unknown, Err(NotSignable::Unknown(_))));
    assert!(matches!(
        world.registry.publish(spki, NOW),
        Err(ChangeError::Unknown(_))
    ));
    assert_eq!(world.registry.key(spki).unwrap(), None);
    assert_eq!(world.registry.history(spki).unwrap(), []);
}
