//! A whole scan, text in to decision out, beside the two bare signature verifications.

use std::{hint::black_box, io};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use obol_bench::{Budget, Group};
use obol_credential::{Encoded, Presentation, TEXT_MAX, to_text};
use obol_mint::{DEVICE, ISSUER_P384, Mint, NOW, operator};
use obol_verifier_sdk::{TrustStore, Verifier};
use p256::ecdsa::signature::Verifier as _;

fn main() -> io::Result<()> {
    let mut group = Group::new("verify");
    measure(&mut group.criterion());
    group.row("scan", Some("bare_p256_and_p384"), Budget::AtMost(1.15))?;
    group.row("refusal_of_garbage", None, Budget::AtMost(20.0))?;
    group.row("bare_p384", Some("aws_lc_p384"), Budget::None)?;
    group.report()
}

fn measure(criterion: &mut criterion::Criterion) {
    let mint = Mint::default();
    let (text, code, keys) = (mint.text(), mint.code(), [mint.issuer_key()]);
    let verifier = Verifier {
        trust: TrustStore::new(&keys),
        operator: operator(),
    };
    let presentation = Presentation::decode(&code).expect("a minted code");
    let credential = presentation.credential();

    let device = p256::ecdsa::VerifyingKey::from_sec1_bytes(&DEVICE.point()).expect("a point");
    let device_input = presentation.signature_input();
    let device_signature =
        p256::ecdsa::Signature::from_slice(presentation.signature()).expect("in range");
    let issuer = p384::ecdsa::VerifyingKey::from_sec1_bytes(&ISSUER_P384.point()).expect("a point");
    let issuer_input = credential.signature_input();
    let issuer_signature =
        p384::ecdsa::Signature::from_slice(credential.signature()).expect("in range");
    let aws_lc = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, ISSUER_P384.point());

    let bare_p384 = || {
        issuer
            .verify(black_box(&issuer_input), &issuer_signature)
            .is_ok()
    };
    let bare_p256 = || {
        device
            .verify(black_box(&device_input), &device_signature)
            .is_ok()
    };

    let mut group = criterion.benchmark_group("verify");
    group.bench_function("scan", |b| {
        b.iter(|| {
            verifier
                .verify_text(black_box(text.as_bytes()), NOW)
                .is_ok()
        });
    });
    group.bench_function("bare_p256_and_p384", |b| {
        b.iter(|| bare_p256() && bare_p384())
    });
    group.bench_function("bare_p384", |b| b.iter(bare_p384));
    group.bench_function("aws_lc_p384", |b| {
        b.iter(|| {
            aws_lc
                .verify(black_box(&issuer_input), credential.signature())
                .is_ok()
        });
    });
    // The dearest garbage: good base45 and good CBOR up to the last byte, which is missing.
    let cut = Encoded::copy_of(&code[..code.len() - 1]).expect("shorter than a code");
    let garbage = to_text(&cut, &mut [0; TEXT_MAX]).to_owned();
    group.bench_function("refusal_of_garbage", |b| {
        b.iter(|| {
            verifier
                .verify_text(black_box(garbage.as_bytes()), NOW)
                .is_err()
        });
    });
    group.finish();
}
