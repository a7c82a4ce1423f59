//! A whole scan, text in to decision out, beside the bare signature verifications of its backend.

use std::{hint::black_box, io};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use obol_bench::{Budget, Group};
use obol_credential::{Encoded, Presentation, TEXT_MAX, to_text};
use obol_mint::{DEVICE, Mint, NOW, operator};
use obol_verifier_sdk::{
    Backend, CredentialCache, Multiple, Place, TableSize, Tables, TrustStore, Verifier,
};
use p256::ecdsa::signature::Verifier as _;

fn main() -> io::Result<()> {
    let mut group = Group::new("scan");
    measure(&mut group.criterion());
    let whole = Budget::AtMost(1.15);
    group.row("prepared", Some("prepared_bare"), whole)?;
    group.row("without_tables", Some("without_tables_bare"), whole)?;
    group.row("aws_lc", Some("aws_lc_bare"), whole)?;
    let cached = Budget::AtMost(1.3);
    group.row("cached", Some("p256_bare"), cached)?;
    group.row("aws_lc_cached", Some("aws_lc_p256_bare"), cached)?;
    group.row("refusal_of_garbage", None, Budget::AtMost(20.0))?;
    group.row("refusal_of_foreign_code", None, Budget::AtMost(20.0))?;
    group.report()
}

fn measure(criterion: &mut criterion::Criterion) {
    let mint = Mint::default();
    let (text, code, keys) = (mint.text(), mint.code(), [mint.issuer_key()]);
    let size = TableSize::Chunks16;
    let mut room = vec![Multiple::EMPTY; size.room_for(1)];
    let plain = TrustStore::new(&keys);
    let prepared = plain.with_tables(Tables::build(size, &keys, &mut room));
    let aws_lc = plain.with_backend(Backend::AwsLc);
    let verifier = |trust| Verifier {
        trust,
        operator: operator(),
    };
    let presentation = Presentation::decode(&code).expect("a minted code");
    let credential = presentation.credential();
    let (device_input, issuer_input) =
        (presentation.signature_input(), credential.signature_input());
    let issuer = |trust: TrustStore<'_>| {
        trust.has_signed(&keys[0], black_box(&issuer_input), credential.signature())
    };
    let device_point = DEVICE.device_key();
    let device = || {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(device_point.as_sec1());
        let signature = p256::ecdsa::Signature::from_slice(presentation.signature());
        let (key, signature) = (key.expect("a point"), signature.expect("in range"));
        key.verify(black_box(&device_input), &signature).is_ok()
    };
    let aws_lc_issuer = ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, mint.issuer.point());
    let aws_lc_issuer = aws_lc_issuer.expect("a point");
    let aws_lc_device = || {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, device_point.as_sec1());
        let key = key.expect("a point");
        key.verify_sig(black_box(&device_input), presentation.signature())
            .is_ok()
    };
    let aws_lc_both = || {
        let input = black_box(&issuer_input);
        aws_lc_device()
            && aws_lc_issuer
                .verify_sig(input, credential.signature())
                .is_ok()
    };

    let mut group = criterion.benchmark_group("scan");
    let mut bare = |name: &str, verdict: &dyn Fn() -> bool| {
        group.bench_function(name, |b| b.iter(|| assert!(verdict())));
    };
    bare("prepared_bare", &|| device() && issuer(prepared));
    bare("without_tables_bare", &|| device() && issuer(plain));
    bare("aws_lc_bare", &aws_lc_both);
    bare("p256_bare", &device);
    bare("aws_lc_p256_bare", &aws_lc_device);
    for (name, trust) in [
        ("prepared", prepared),
        ("without_tables", plain),
        ("aws_lc", aws_lc),
    ] {
        let scan = verifier(trust);
        bare(name, &|| {
            scan.verify_text(black_box(text.as_bytes()), NOW).is_ok()
        });
    }
    // The dearest garbage: good base45 and good CBOR up to the last byte, which is missing.
    let cut = Encoded::copy_of(&code[..code.len() - 1]).expect("shorter than a code");
    let garbage = to_text(&cut, &mut [0; TEXT_MAX]).to_owned();
    for (name, text) in [
        ("refusal_of_garbage", garbage.as_str()),
        (
            "refusal_of_foreign_code",
            "HC1:NCFOXN%TS3DH3ZSUZK+.V0ETD%65NL-AH-R6IOOK.IR9B+9D9JL",
        ),
    ] {
        let scan = verifier(prepared);
        bare(name, &|| {
            scan.verify_text(black_box(text.as_bytes()), NOW).is_err()
        });
    }
    for (name, trust) in [("cached", prepared), ("aws_lc_cached", aws_lc)] {
        let mut cache = CredentialCache::new(vec![Place::EMPTY; 4096]);
        let scan = verifier(trust);
        group.bench_function(name, |b| {
            b.iter(|| {
                let text = black_box(text.as_bytes());
                assert!(scan.verify_text_cached(text, NOW, &mut cache).is_ok());
            });
        });
    }
    group.finish();
}
