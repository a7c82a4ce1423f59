//! What a notice of the simulated bank must be to credit money.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

use data_encoding::BASE64URL_NOPAD;
use obol_ledger::Amount;
use obol_payment::UnixTime;
use obol_payment::channel::simulated_bank::{
    BankKey, NOTICE_MAX, NOTICE_WINDOW_S, NotifyRefusal, parse_notify,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_772_395_200);
const BODY: &str = concat!(
    r#"{"transaction":"T1","order":"r01-74656e2072616e646f6d","amount_minor":5000,"#,
    r#""currency":"CNY","paid_at":1772395199}"#
);

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[9; 32]).unwrap()
}

fn bank() -> BankKey {
    let pem = signing_key()
        .verifying_key()
        .to_public_key_pem(LineEnding::LF)
        .unwrap();
    BankKey::from_pem(&pem).unwrap()
}

fn signed(time: &str, body: &[u8]) -> String {
    let message = [time.as_bytes(), b".", body].concat();
    let signature: Signature = signing_key().sign(&message);
    format!(
        "t={time},v1={}",
        BASE64URL_NOPAD.encode(&signature.to_bytes())
    )
}

fn refusal(body: &str) -> NotifyRefusal {
    let header = signed(&NOW.to_string(), body.as_bytes());
    parse_notify(header.as_bytes(), body.as_bytes(), &bank(), NOW).unwrap_err()
}

#[test]
fn a_notice_signed_by_the_pinned_key_is_believed() {
    let header = signed(&NOW.to_string(), BODY.as_bytes());
    let verified = parse_notify(header.as_bytes(), BODY.as_bytes(), &bank(), NOW).unwrap();
    let notice = verified.get();
    assert_eq!(notice.amount, Amount::from_minor(5_000));
    assert_eq!(notice.transaction.as_str(), "T1");
    assert_eq!(notice.order.to_string(), "r01-74656e2072616e646f6d");
    assert_eq!(notice.paid_at, NOW.minus(1));
}

#[test]
fn a_changed_amount_is_refused() {
    let header = signed(&NOW.to_string(), BODY.as_bytes());
    let changed = BODY.replace("5000", "9000");
    let refused = parse_notify(header.as_bytes(), changed.as_bytes(), &bank(), NOW);
    assert_eq!(refused, Err(NotifyRefusal::Signature));
}

#[test]
fn a_notice_of_another_bank_is_refused() {
    let message = [NOW.to_string().as_bytes(), b".", BODY.as_bytes()].concat();
    let signature: Signature = SigningKey::from_slice(&[8; 32]).unwrap().sign(&message);
    let header = format!(
        "t={NOW},v1={}",
        BASE64URL_NOPAD.encode(&signature.to_bytes())
    );
    let refused = parse_notify(header.as_bytes(), BODY.as_bytes(), &bank(), NOW);
    assert_eq!(refused, Err(NotifyRefusal::Signature));
}

#[test]
fn a_signature_older_or_younger_than_five_minutes_is_refused() {
    let header = signed(&NOW.to_string(), BODY.as_bytes());
    let parse = |now| parse_notify(header.as_bytes(), BODY.as_bytes(), &bank(), now);
    for now in [NOW.minus(NOTICE_WINDOW_S), NOW.plus(NOTICE_WINDOW_S)] {
        assert_eq!(parse(now).unwrap().get().transaction.as_str(), "T1");
    }
    for now in [
        NOW.minus(NOTICE_WINDOW_S + 1),
        NOW.plus(NOTICE_WINDOW_S + 1),
    ] {
        assert_eq!(
            parse(now),
            Err(NotifyRefusal::Time {
                signed_at: NOW,
                now
            })
        );
    }
}

#[test]
fn a_signature_header_in_another_spelling_is_refused() {
    let good = signed(&NOW.to_string(), BODY.as_bytes());
    let cases = [
        String::new(),
        good.replace("t=", "t= "),
        good.replace("v1=", "v0="),
        good.replace(',', ", "),
        good.clone() + "=",
        good.clone() + ",v1=AA",
        signed(&format!("0{NOW}"), BODY.as_bytes()),
        signed(&format!("+{NOW}"), BODY.as_bytes()),
        good.replace("v1=", &format!("v1={}", "A".repeat(100))),
    ];
    for header in cases {
        let refused = parse_notify(header.as_bytes(), BODY.as_bytes(), &bank(), NOW);
        assert_eq!(refused, Err(NotifyRefusal::Header), "{header}");
    }
}

#[test]
fn a_body_with_a_doubled_unknown_or_missing_member_is_refused() {
    let cases = [
        (
            BODY.replace('{', r#"{"amount_minor":1,"#),
            "duplicate field `amount_minor`",
        ),
        (BODY.replace('{', r#"{"fee":1,"#), "unknown field `fee`"),
        (
            BODY.replace(r#""currency":"CNY","#, ""),
            "missing field `currency`",
        ),
        (
            BODY.replace("5000", "50.00"),
            "invalid type: floating point",
        ),
        (
            BODY.replace("5000", "-5000"),
            "amount_minor -5000 is not positive",
        ),
        (BODY.replace("T1", "T 1"), "transaction is not"),
        (BODY.replace("r01-", "R01-"), "is not an order number"),
        (BODY.to_owned() + "{}", "trailing characters"),
    ];
    for (body, reason) in cases {
        let NotifyRefusal::Body(found) = refusal(&body) else {
            panic!("{body}")
        };
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_anything_else() {
    let body = vec![b' '; NOTICE_MAX + 1];
    let refused = parse_notify(b"", &body, &bank(), NOW);
    assert_eq!(refused, Err(NotifyRefusal::TooLong(NOTICE_MAX + 1)));
}

#[test]
fn a_file_that_is_no_public_key_is_refused() {
    assert!(
        BankKey::from_pem("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n").is_err()
    );
    assert!(BankKey::from_pem("").is_err());
}

proptest! {
    #[test]
    fn no_changed_byte_leaves_a_notice_believed(at in 0..BODY.len(), flip in 1..=255u8) {
        let header = signed(&NOW.to_string(), BODY.as_bytes());
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= flip;
        let refused = parse_notify(header.as_bytes(), &body, &bank(), NOW);
        prop_assert_eq!(refused, Err(NotifyRefusal::Signature));
    }
}
