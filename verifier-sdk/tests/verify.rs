//! What the verifier must hold for every code. The rules one by one stand as vectors under
//! tests/vectors/pt1.

use std::sync::LazyLock;

use obol_mint::{DEVICE, ISSUER_P256, ISSUER_P384, Mint, NOW, operator};
use obol_verifier_sdk::{
    IssuerKey, KeyStatus, Refusal, RefusalCode, TrustStore, UnixTime, Verified, Verifier,
};
use proptest::prelude::*;

fn verify(code: &[u8], now: UnixTime, keys: &[IssuerKey]) -> Result<Verified, Refusal> {
    Verifier {
        trust: TrustStore::new(keys),
        operator: operator(),
    }
    .verify(code, now)
}

fn code_of(result: Result<Verified, Refusal>) -> Option<RefusalCode> {
    result.err().map(|refusal| refusal.code)
}

#[test]
fn a_valid_code_is_verified_with_either_issuer_algorithm() {
    for issuer in [ISSUER_P384, ISSUER_P256] {
        let mint = Mint {
            issuer,
            ..Mint::default()
        };
        let verified = verify(&mint.code(), NOW, &[mint.issuer_key()]).expect("a valid code");
        assert_eq!(verified.presentation(), &*mint.code());
        assert_eq!(verified.claims(), &mint.claims);
        assert_eq!(verified.kid(), mint.issuer_key().kid());
        assert_eq!(verified.at(), NOW);
    }
}

#[test]
fn the_window_is_closed_at_both_ends_and_clamped_to_sixty_seconds() {
    for (window_s, last) in [(1, 31), (30, 60), (60, 90), (61, 90), (u16::MAX, 90)] {
        let mut mint = Mint::default();
        mint.claims.fare.window_s = window_s;
        let at = |now| code_of(verify(&mint.code(), now, &[mint.issuer_key()]));
        assert_eq!(at(NOW.minus(31)), Some(RefusalCode::CodeFuture));
        assert_eq!(at(NOW.minus(30)), None);
        assert_eq!(at(NOW.plus(last)), None);
        assert_eq!(at(NOW.plus(last + 1)), Some(RefusalCode::CodeStale));
        // a terminal whose clock is off by a time zone must not find a window that fits
        assert_eq!(at(NOW.plus(8 * 3600)), Some(RefusalCode::CodeStale));
        assert_eq!(at(NOW.minus(8 * 3600)), Some(RefusalCode::CodeFuture));
    }
}

#[test]
fn a_suspended_key_refuses_its_credentials() {
    let mint = Mint::default();
    let mut key = mint.issuer_key();
    key.status = KeyStatus::Suspended;
    assert_eq!(
        code_of(verify(&mint.code(), NOW, &[key])),
        Some(RefusalCode::KeySuspended)
    );
}

#[test]
fn a_key_of_another_algorithm_with_the_same_kid_is_unknown() {
    let mint = Mint::default();
    let other = Mint {
        issuer: ISSUER_P256,
        ..Mint::default()
    };
    let refused = code_of(verify(&mint.code(), NOW, &[other.issuer_key()]));
    assert_eq!(refused, Some(RefusalCode::UnknownKey));
}

#[test]
fn a_malleated_signature_verifies_and_is_the_same_code() {
    let mint = Mint::default();
    let (first, second) = (mint.code(), mint.malleated());
    assert_ne!(&*first, &*second);
    let keys = [mint.issuer_key()];
    let identity = |code: &[u8]| {
        verify(code, NOW, &keys)
            .expect("(r, n - s) verifies")
            .identity()
    };
    assert_eq!(identity(&first), identity(&second));
}

#[test]
fn a_credential_signed_by_the_phone_itself_is_refused() {
    let honest = Mint::default();
    let forged = Mint {
        issuer: DEVICE,
        ..Mint::default()
    };
    let refused = code_of(verify(&forged.code(), NOW, &[honest.issuer_key()]));
    assert_eq!(refused, Some(RefusalCode::UnknownKey));
}

static VALID: LazyLock<(Vec<u8>, IssuerKey)> = LazyLock::new(|| {
    let mint = Mint::default();
    (mint.code().to_vec(), mint.issuer_key())
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever bit is flipped, the code is refused: nothing in it is unsigned.
    #[test]
    fn every_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (code, key) = &*VALID;
        let mut code = code.clone();
        let at = at.index(code.len());
        code[at] ^= 1 << bit;
        let refused = code_of(verify(&code, NOW, std::slice::from_ref(key)));
        prop_assert!(refused.is_some(), "byte {at} bit {bit}");
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in prop::collection::vec(any::<u8>(), 0..1024)) {
        let verifier = Verifier { trust: TrustStore::new(&[]), operator: operator() };
        let refused = code_of(verifier.verify_text(&text, NOW));
        prop_assert_eq!(refused, Some(RefusalCode::UnknownScheme));
        let prefixed = [b"PT1:", &text[..]].concat();
        let refused = code_of(verifier.verify_text(&prefixed, NOW));
        prop_assert_eq!(refused, Some(RefusalCode::Malformed));
    }
}
