//! What a DPoP proof must be to pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

use data_encoding::BASE64URL_NOPAD;
use obol_account::dpop::{IAT_WINDOW_S, PROOF_MAX, ProofRefused, Request, verify};
use obol_credential::UnixTime;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const NOW: UnixTime = UnixTime(1_772_395_200);
const BODY: &[u8] = b"{}";
const URL: &str = "https://localhost:8443/v1/passengers";
const REQUEST: Request<'_> = Request {
    method: "POST",
    url: URL,
    body: BODY,
};
const JTI: &str = "0123456789abcdef";

fn key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

fn jwk() -> String {
    let point = key().verifying_key().to_sec1_point(false);
    let (x, y) = (
        BASE64URL_NOPAD.encode(&point.as_bytes()[1..33]),
        BASE64URL_NOPAD.encode(&point.as_bytes()[33..]),
    );
    format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#)
}

fn header() -> String {
    format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{{}}}}}"#, jwk())
}

fn bdh(body: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(body))
}

fn claims() -> String {
    let (bdh, iat) = (bdh(BODY), NOW.0);
    format!(r#"{{"jti":"{JTI}","htm":"POST","htu":"{URL}","iat":{iat},"bdh":"{bdh}"}}"#)
}

fn proof(header: &str, claims: &str) -> Vec<u8> {
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature: Signature = key().sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes())).into_bytes()
}

fn refusal(header: &str, claims: &str) -> ProofRefused {
    verify(&proof(header, claims), &REQUEST, NOW).unwrap_err()
}

#[test]
fn a_proof_of_the_key_for_this_request_is_accepted() {
    let authenticated = verify(&proof(&header(), &claims()), &REQUEST, NOW).unwrap();
    assert_eq!(authenticated.jti(), JTI);
    assert_eq!(authenticated.issued_at(), NOW);
    let point = key().verifying_key().to_sec1_point(false);
    assert_eq!(authenticated.key().to_sec1(), point.as_bytes());
}

#[test]
fn a_request_without_a_body_needs_no_body_hash() {
    let claims = format!(
        r#"{{"jti":"{JTI}","htm":"GET","htu":"{URL}","iat":{}}}"#,
        NOW.0
    );
    let get = Request {
        method: "GET",
        url: URL,
        body: b"",
    };
    assert!(verify(&proof(&header(), &claims), &get, NOW).is_ok());
    let with_body = Request { body: BODY, ..get };
    let refused = verify(&proof(&header(), &claims), &with_body, NOW);
    assert_eq!(refused, Err(ProofRefused::BodyUnbound));
}

#[test]
fn a_changed_body_is_refused() {
    let changed = Request {
        body: b"{ }",
        ..REQUEST
    };
    let refused = verify(&proof(&header(), &claims()), &changed, NOW);
    assert_eq!(refused, Err(ProofRefused::Body(bdh(BODY))));
}

#[test]
fn another_method_and_another_url_are_refused() {
    let put = Request {
        method: "PUT",
        ..REQUEST
    };
    let refused = verify(&proof(&header(), &claims()), &put, NOW);
    assert_eq!(refused, Err(ProofRefused::Method("POST".into())));
    let expected = "https://localhost:8443/v1/statement".to_owned();
    let elsewhere = Request {
        url: &expected,
        ..REQUEST
    };
    let refused = verify(&proof(&header(), &claims()), &elsewhere, NOW);
    assert_eq!(
        refused,
        Err(ProofRefused::Url {
            found: URL.into(),
            expected: expected.clone()
        })
    );
}

#[test]
fn a_proof_older_or_younger_than_five_minutes_is_refused() {
    let proof = proof(&header(), &claims());
    for now in [NOW.minus(IAT_WINDOW_S), NOW.plus(IAT_WINDOW_S)] {
        assert!(verify(&proof, &REQUEST, now).is_ok());
    }
    for now in [NOW.minus(IAT_WINDOW_S + 1), NOW.plus(IAT_WINDOW_S + 1)] {
        let refused = verify(&proof, &REQUEST, now);
        assert_eq!(
            refused,
            Err(ProofRefused::Time {
                issued_at: NOW,
                now
            })
        );
    }
}

#[test]
fn a_broken_signature_is_refused() {
    let mut broken = proof(&header(), &claims());
    let middle_of_signature = broken.len() - 40;
    broken[middle_of_signature] ^= 1;
    assert_eq!(verify(&broken, &REQUEST, NOW), Err(ProofRefused::Signature));
}

#[test]
fn a_header_that_is_not_exactly_typ_alg_jwk_is_refused() {
    let cases = [
        (
            header().replace("dpop+jwt", "JWT"),
            r#"typ is "JWT", expected "dpop+jwt""#,
        ),
        (
            header().replace("ES256", "none"),
            r#"alg is "none", expected "ES256""#,
        ),
        (
            header().replace("P-256", "P-384"),
            r#"crv is "P-384", expected "P-256""#,
        ),
        (
            header().replace(r#""kty""#, r#""d":"AA","kty""#),
            "unknown field `d`",
        ),
        (
            header().replace(r#"{"typ""#, r#"{"crit":["b64"],"typ""#),
            "unknown field `crit`",
        ),
        (
            header().replace(r#"{"typ""#, r#"{"alg":"ES256","typ""#),
            "duplicate field `alg`",
        ),
        (header() + "x", "trailing characters"),
    ];
    for (header, reason) in cases {
        let ProofRefused::Header(found) = refusal(&header, &claims()) else {
            panic!("{header}")
        };
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn a_payload_with_a_doubled_or_unknown_member_is_refused() {
    let cases = [
        (
            claims().replace(r#"{"jti""#, r#"{"htm":"POST","jti""#),
            "duplicate field `htm`",
        ),
        (
            claims().replace(r#"{"jti""#, r#"{"exp":1,"jti""#),
            "unknown field `exp`",
        ),
        (
            claims().replace(r#""htm":"POST","#, ""),
            "missing field `htm`",
        ),
        (
            claims().replace(&NOW.0.to_string(), "1e9"),
            "invalid type: floating point",
        ),
    ];
    for (claims, reason) in cases {
        let ProofRefused::Claims(found) = refusal(&header(), &claims) else {
            panic!("{claims}")
        };
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn a_jti_too_short_or_too_long_or_invisible_is_refused() {
    for jti in [
        "123456789012345".to_owned(),
        "x".repeat(65),
        "0123456789 abcdef".to_owned(),
    ] {
        let refused = refusal(&header(), &claims().replace(JTI, &jti));
        assert_eq!(refused, ProofRefused::Jti(jti.chars().take(64).collect()));
    }
}

#[test]
fn a_proof_that_is_no_compact_jws_is_refused() {
    let whole = proof(&header(), &claims());
    let padded = [whole.as_slice(), b"="].concat();
    let four_parts = [whole.as_slice(), b".AA"].concat();
    for proof in [&b""[..], b"..", b"a.b", &padded, &four_parts] {
        let refused = verify(proof, &REQUEST, NOW).unwrap_err();
        let malformed = matches!(refused, ProofRefused::NotCompact | ProofRefused::Header(_));
        assert!(malformed, "{refused:?}");
    }
    let long = vec![b'a'; PROOF_MAX + 1];
    assert_eq!(
        verify(&long, &REQUEST, NOW),
        Err(ProofRefused::TooLong(PROOF_MAX + 1))
    );
}

proptest! {
    #[test]
    fn no_changed_byte_leaves_a_proof_valid(at in 0..400usize, flip in 1..=255u8) {
        let mut proof = proof(&header(), &claims());
        let at = at % proof.len();
        proof[at] ^= flip;
        prop_assert!(verify(&proof, &REQUEST, NOW).is_err());
    }
}
