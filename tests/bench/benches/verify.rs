//! One signature verification: prepared tables beside `p384`'s own arithmetic and beside aws-lc.

use std::{hint::black_box, io};

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use obol_bench::{Budget, Group};
use obol_mint::{ISSUER_P384, Mint};
use obol_verifier_sdk::{Multiple, TableSize, Tables, TrustStore};
use p384::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};

const SIZES: [(&str, TableSize); 4] = [
    ("prepared_4_chunks", TableSize::Chunks4),
    ("prepared_8_chunks", TableSize::Chunks8),
    ("prepared", TableSize::Chunks16),
    ("prepared_32_chunks", TableSize::Chunks32),
];

fn main() -> io::Result<()> {
    let mut group = Group::new("verify");
    measure(&mut group.criterion());
    // 3.5 times faster.
    group.row("prepared", Some("p384_own"), Budget::AtMost(1.0 / 3.5))?;
    group.row("prepared", Some("aws_lc_p384"), Budget::AtMost(1.0))?;
    for (name, _) in SIZES {
        group.row(name, Some("p384_own"), Budget::None)?;
    }
    group.row("p384_own", Some("aws_lc_p384"), Budget::None)?;
    group.row(
        "building_the_tables_of_one_key",
        Some("p384_own"),
        Budget::None,
    )?;
    group.report()
}

fn measure(criterion: &mut criterion::Criterion) {
    let key = Mint::default().issuer_key();
    let keys = [key.clone()];
    let message = [7; 150];
    let bytes = ISSUER_P384.sign(&message);
    let signature = Signature::from_slice(&bytes).expect("in range");
    let own = VerifyingKey::from_sec1_bytes(&ISSUER_P384.point()).expect("a point");
    let aws_lc =
        ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, ISSUER_P384.point()).expect("a point");

    let mut group = criterion.benchmark_group("verify");
    for (name, size) in SIZES {
        let mut room = vec![Multiple::EMPTY; size.room_for(1)];
        let store = TrustStore::new(&keys).with_tables(Tables::build(size, &keys, &mut room));
        group.bench_function(name, |b| {
            b.iter(|| assert!(store.has_signed(&key, black_box(&message), &bytes)));
        });
    }
    group.bench_function("p384_own", |b| {
        b.iter(|| assert!(own.verify(black_box(&message), &signature).is_ok()));
    });
    group.bench_function("aws_lc_p384", |b| {
        b.iter(|| assert!(aws_lc.verify_sig(black_box(&message), &bytes).is_ok()));
    });
    let mut room = vec![Multiple::EMPTY; TableSize::Chunks16.room_for(1)];
    group.bench_function("building_the_tables_of_one_key", |b| {
        b.iter(|| black_box(Tables::build(TableSize::Chunks16, &keys, &mut room)).table_count());
    });
    group.finish();
}
