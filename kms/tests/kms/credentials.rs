//! Typed signing of credential claims.

use obol_credential::{
    Algorithm, Claims, Credential, Cti, DeviceKey, FareTerms, assemble_credential,
};
use obol_kms::{ClaimsRefusal, Curve, SignCredentialError, unrecorded};

use crate::world::{NOW, in_a_world, issuer};

/// Claims that every rule accepts at [`NOW`].
pub(crate) fn claims() -> Claims {
    let mut point = [7; 33];
    point[0] = 2;
    Claims {
        expires_at: NOW.plus(24 * 3600),
        issued_at: NOW,
        cti: Cti([1; 8]),
        device_key: DeviceKey::from_sec1(point).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 2_000,
            window_s: 30,
            status_index: 5,
            flags: 0,
        },
    }
}

#[test]
fn a_credential_is_signed_by_either_algorithm() {
    in_a_world(
        "credentials::a_credential_is_signed_by_either_algorithm",
        |world| {
            for (curve, algorithm) in [
                (Curve::P384, Algorithm::Esp384),
                (Curve::P256, Algorithm::Esp256),
            ] {
                let token = world.token(&format!("{curve}").to_lowercase());
                let (_, issuer) = issuer(&token, curve, NOW);
                let claims = claims().encode();
                let signature = unrecorded::sign_credential(&token, &issuer, &claims, NOW)
                    .unwrap()
                    .to_raw();
                let credential =
                    assemble_credential(algorithm, issuer.kid(), &claims, &signature).unwrap();
                let credential = Credential::decode(&credential).unwrap();
                assert_eq!(credential.kid().0, issuer.id().0[..4]);
                assert_eq!(credential.signature().len(), algorithm.signature_len());
            }
        },
    );
}

#[test]
fn claims_that_break_a_hard_rule_are_not_signed() {
    in_a_world(
        "credentials::claims_that_break_a_hard_rule_are_not_signed",
        |world| {
            let token = world.token("issuer");
            let (_, issuer) = issuer(&token, Curve::P384, NOW);
            let refusal = |change: fn(&mut Claims)| {
                let mut claims = claims();
                change(&mut claims);
                match unrecorded::sign_credential(&token, &issuer, &claims.encode(), NOW) {
                    Err(SignCredentialError::Refused(refusal)) => refusal.to_string(),
                    other => panic!("{other:?}"),
                }
            };
            assert!(
                refusal(|c| c.expires_at = c.issued_at.plus(48 * 3600 + 1))
                    .contains("life is not 1 s to 48 h")
            );
            assert!(refusal(|c| c.expires_at = c.issued_at).contains("life is not 1 s to 48 h"));
            assert_eq!(
                refusal(|c| c.issued_at = c.issued_at.plus(301)),
                "iat lies 301 s from the signer's clock, allowed are 300 s"
            );
            assert_eq!(
                refusal(|c| c.issued_at = c.issued_at.minus(301)),
                "iat lies -301 s from the signer's clock, allowed are 300 s"
            );
            assert_eq!(
                refusal(|c| c.fare.window_s = 61),
                "window of 61 s is not 1 to 60 s"
            );
            assert_eq!(
                refusal(|c| c.fare.class = 3),
                "class 3 is not in the scope of issuer \"linea\""
            );
        },
    );
}

#[test]
fn bytes_that_are_no_claims_are_not_signed() {
    in_a_world(
        "credentials::bytes_that_are_no_claims_are_not_signed",
        |world| {
            let token = world.token("issuer");
            let (_, issuer) = issuer(&token, Curve::P384, NOW);
            let whole = claims().encode();
            let trailing = [&whole[..], &[0]].concat();
            for bytes in [&[][..], &[0x55; 48], &whole[..whole.len() - 1], &trailing] {
                let refused = unrecorded::sign_credential(&token, &issuer, bytes, NOW).unwrap_err();
                assert!(matches!(
                    refused,
                    SignCredentialError::Refused(ClaimsRefusal::Malformed(_))
                ));
            }
        },
    );
}

#[test]
fn an_issuer_whose_certificate_has_ended_signs_nothing() {
    in_a_world(
        "credentials::an_issuer_whose_certificate_has_ended_signs_nothing",
        |world| {
            let token = world.token("issuer");
            let (_, issuer) = issuer(&token, Curve::P384, NOW);
            let late = NOW.plus(90 * 86_400 + 1);
            let mut claims = claims();
            claims.issued_at = late;
            claims.expires_at = late.plus(3600);
            let refused =
                unrecorded::sign_credential(&token, &issuer, &claims.encode(), late).unwrap_err();
            assert!(matches!(
                refused,
                SignCredentialError::Refused(ClaimsRefusal::Certificate { .. })
            ));
        },
    );
}

#[test]
fn more_threads_than_sessions_sign_without_error() {
    in_a_world(
        "credentials::more_threads_than_sessions_sign_without_error",
        |world| {
            let token = world.token("busy");
            let (_, issuer) = issuer(&token, Curve::P256, NOW);
            let claims = claims().encode();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..10 {
                            unrecorded::sign_credential(&token, &issuer, &claims, NOW).unwrap();
                        }
                    });
                }
            });
        },
    );
}
