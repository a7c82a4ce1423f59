//! The cache of credentials spares work and changes no decision.

use obol_mint::{DEVICE, ISSUER_P256, ISSUER_P384, Issuer, Mint, NOW, operator};
use obol_verifier_sdk::{
    CredentialCache, IssuerKey, KeyStatus, Place, RefusalCode, TrustStore, Verifier,
};

type Cache = CredentialCache<[Place; 8]>;

fn cache() -> Cache {
    CredentialCache::new([Place::EMPTY; 8])
}

fn scan(mint: &Mint, keys: &[IssuerKey], cache: &mut Cache) -> Option<RefusalCode> {
    let verifier = Verifier {
        trust: TrustStore::new(keys),
        operator: operator(),
    };
    let text = mint.text();
    let refused = verifier
        .verify_text_cached(text.as_bytes(), NOW, cache)
        .err();
    refused.map(|refusal| refusal.code)
}

/// A mint whose credential bears the issuer's name and another's signature.
fn forged() -> (Mint, IssuerKey) {
    let honest = Mint::default();
    let mut forged = Mint::default();
    forged.claims.fare.cap_minor = 99_999;
    forged.forger = Some(Issuer {
        secret: 99,
        ..ISSUER_P384
    });
    (forged, honest.issuer_key())
}

#[test]
fn a_key_suspended_after_its_credential_was_cached_is_refused() {
    let (mint, mut cache) = (Mint::default(), cache());
    let mut key = mint.issuer_key();
    assert_eq!(scan(&mint, std::slice::from_ref(&key), &mut cache), None);
    key.status = KeyStatus::Suspended;
    let refused = scan(&mint, &[key], &mut cache);
    assert_eq!(refused, Some(RefusalCode::KeySuspended));
}

#[test]
fn a_key_that_left_the_trust_store_is_refused_though_its_credential_is_cached() {
    let (mint, mut cache) = (Mint::default(), cache());
    assert_eq!(scan(&mint, &[mint.issuer_key()], &mut cache), None);
    assert_eq!(scan(&mint, &[], &mut cache), Some(RefusalCode::UnknownKey));
    let other = Mint {
        issuer: ISSUER_P256,
        ..Mint::default()
    };
    let refused = scan(&mint, &[other.issuer_key()], &mut cache);
    assert_eq!(refused, Some(RefusalCode::UnknownKey));
}

#[test]
fn a_cached_credential_still_needs_its_device_key_and_its_time() {
    let (mint, mut cache) = (Mint::default(), cache());
    let keys = [mint.issuer_key()];
    assert_eq!(scan(&mint, &keys, &mut cache), None);
    let mut stale = Mint::default();
    stale.dynamic.issued_at = NOW.minus(61);
    assert_eq!(stale.credential(), mint.credential());
    assert_eq!(
        scan(&stale, &keys, &mut cache),
        Some(RefusalCode::CodeStale)
    );
    let stolen = Mint {
        phone: Issuer {
            secret: 44,
            ..DEVICE
        },
        ..Mint::default()
    };
    assert_eq!(stolen.credential(), mint.credential());
    assert_eq!(
        scan(&stolen, &keys, &mut cache),
        Some(RefusalCode::DeviceSig)
    );
}

#[test]
fn a_forged_credential_is_refused_each_time_and_never_cached() {
    let ((forged, key), mut cache) = (forged(), cache());
    for _ in 0..3 {
        let refused = scan(&forged, std::slice::from_ref(&key), &mut cache);
        assert_eq!(refused, Some(RefusalCode::IssuerSig));
    }
}

#[test]
fn a_full_cache_makes_room_and_decides_as_before() {
    let (mut mint, mut cache) = (Mint::default(), cache());
    let keys = [mint.issuer_key()];
    for round in 0..2 {
        for rider in 0..40 {
            mint.claims.cti.0 = [rider; 8];
            assert_eq!(scan(&mint, &keys, &mut cache), None, "{round} {rider}");
        }
    }
}

#[test]
fn a_cache_without_room_decides_as_before() {
    let mint = Mint::default();
    let keys = [mint.issuer_key()];
    let verifier = Verifier {
        trust: TrustStore::new(&keys),
        operator: operator(),
    };
    for places in 0..4 {
        let mut room = vec![Place::EMPTY; places];
        let mut cache = CredentialCache::new(&mut room[..]);
        for _ in 0..2 {
            let scanned = verifier.verify_cached(&mint.code(), NOW, &mut cache);
            assert!(scanned.is_ok(), "{scanned:?}");
        }
    }
}
