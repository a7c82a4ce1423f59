//! Tokens with many keys, and keys that are born while others sign.

use std::time::{Duration, Instant};

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::Attribute;
use cryptoki::session::Session;
use obol_kms::{Curve, IssuerKey, Token, unrecorded};

use crate::credentials::claims;
use crate::keys::{P256, attack};
use crate::world::{NOW, in_a_world, in_a_world_in, issuer};

/// Keys of the large token; `make test-long` asks for 10 000.
const KEYS: &str = "OBOL_TEST_KEYS";
const KEYS_USUALLY: u32 = 1_000;
/// Signatures of one measurement.
const ROUNDS: u32 = 200;

#[test]
fn keys_are_generated_while_others_sign() {
    in_a_world("load::keys_are_generated_while_others_sign", |world| {
        let token = world.token("busy");
        let (_, issuer) = issuer(&token, Curve::P256, NOW);
        let claims = claims().encode();
        let mut born = Vec::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        unrecorded::sign_credential(&token, &issuer, &claims, NOW).unwrap();
                    }
                });
            }
            for number in 0..12 {
                let label = format!("newborn-{number}");
                born.push(token.generate(Curve::P256, &label).unwrap());
            }
        });
        for key in born {
            assert_eq!(token.key(key.id()).unwrap().public(), key.public());
        }
    });
}

/// In memory where there is such a folder: SoftHSM writes two files a key.
#[test]
fn signing_does_not_depend_on_how_many_keys_a_token_has() {
    let name = "load::signing_does_not_depend_on_how_many_keys_a_token_has";
    in_a_world_in("/dev/shm".as_ref(), name, |world| {
        let config = world.new_token("full");
        let token = world.open(&config, 2);
        let (certificate, key) = issuer(&token, Curve::P256, NOW);
        let alone = per_signature(&token, &key);
        drop(token);

        let count = std::env::var_os(KEYS).map_or(KEYS_USUALLY, |keys| {
            keys.to_str().and_then(|keys| keys.parse().ok()).unwrap()
        });
        let begun = Instant::now();
        attack(world, "full", |session| {
            (0..count).for_each(|number| generate(session, number));
        });
        let made = begun.elapsed();

        let begun = Instant::now();
        let token = world.open(&config, 2);
        let opened = begun.elapsed();
        let certificate = obol_kms::x509::IssuerCertificate::read(&certificate).unwrap();
        let key = IssuerKey::find(&token, certificate).unwrap();
        let crowded = per_signature(&token, &key);
        assert_eq!(token.keys().len(), 2 + count as usize);
        println!(
            "{count} keys: made in {:.1} s, token opened in {:.2} s, a signature takes {} us beside \
             {} us among two keys, ratio {:.2}",
            made.as_secs_f64(),
            opened.as_secs_f64(),
            crowded.as_micros(),
            alone.as_micros(),
            crowded.as_secs_f64() / alone.as_secs_f64(),
        );
    });
}

/// Every signature verified, as always.
fn per_signature(token: &Token, key: &IssuerKey) -> Duration {
    let claims = claims().encode();
    unrecorded::sign_credential(token, key, &claims, NOW).unwrap();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        unrecorded::sign_credential(token, key, &claims, NOW).unwrap();
    }
    begun.elapsed() / ROUNDS
}

/// A pair as fit as the house's own, without the reading again that follows each of those.
fn generate(session: &Session, number: u32) {
    let names = || [Attribute::Id(number.to_be_bytes().to_vec())];
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(P256.to_vec()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::AllowedMechanisms(vec![MechanismType::ECDSA]),
    ];
    let public = [&names()[..], &public].concat();
    let private = [&names()[..], &private].concat();
    session
        .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
        .unwrap();
}
