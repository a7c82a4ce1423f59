//! One negative test for every rule of docs/spec/trust.md, and what holds for all inputs.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

use std::collections::BTreeSet;

use minicbor::Encoder;
use obol_credential::{Algorithm, Kid, UnixTime};
use obol_trust::{BUNDLE_MAX, BundleRefused, CERTIFICATE_MAX, ENTRIES_MAX, Entry, TrustBundle};
use proptest::prelude::*;

const ISSUED: UnixTime = UnixTime(1_800_000_000);
const EXPIRES: UnixTime = UnixTime(1_800_086_400);
const LARGE: &[u8] = &[0x30; CERTIFICATE_MAX + 1];

fn entry(kid: u8) -> Entry<'static> {
    Entry {
        kid: Kid([kid, 0, 0, 0]),
        algorithm: Algorithm::Esp384,
        point: &[3; 49],
        not_before: UnixTime(1_790_000_000),
        not_after: UnixTime(1_890_000_000),
        operator: "city-bus",
        classes: 0b110,
        certificate: &[0x30, 0x00],
    }
}

fn bundle(entries: Vec<Entry<'static>>) -> Result<TrustBundle<'static>, BundleRefused> {
    TrustBundle::new(ISSUED, EXPIRES, entries)
}

fn good_bytes() -> Vec<u8> {
    bundle(vec![entry(1), entry(2)]).unwrap().encode()
}

fn rule_of(bytes: &[u8]) -> &'static str {
    TrustBundle::decode(bytes).unwrap_err().rule
}

/// Writes what `TrustBundle::encode` refuses to make.
struct Forged {
    version: u64,
    life: (u32, u32),
    entries: Vec<Entry<'static>>,
}

impl Forged {
    fn of(entries: Vec<Entry<'static>>) -> Self {
        Self {
            version: 1,
            life: (ISSUED.0, EXPIRES.0),
            entries,
        }
    }

    fn rule(self) -> &'static str {
        rule_of(&self.bytes())
    }

    fn bytes(self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(4).unwrap().u8(1).unwrap().u64(self.version).unwrap();
        e.u8(2)
            .unwrap()
            .u32(self.life.0)
            .unwrap()
            .u8(3)
            .unwrap()
            .u32(self.life.1)
            .unwrap();
        e.u8(4).unwrap().array(self.entries.len() as u64).unwrap();
        for entry in &self.entries {
            e.map(8)
                .unwrap()
                .u8(1)
                .unwrap()
                .bytes(&entry.kid.0)
                .unwrap();
            e.u8(2).unwrap().i32(entry.algorithm.cose_id()).unwrap();
            e.u8(3).unwrap().bytes(entry.point).unwrap();
            e.u8(4).unwrap().u32(entry.not_before.0).unwrap();
            e.u8(5).unwrap().u32(entry.not_after.0).unwrap();
            e.u8(6).unwrap().str(entry.operator).unwrap();
            e.u8(7).unwrap().u32(entry.classes).unwrap();
            e.u8(8).unwrap().bytes(entry.certificate).unwrap();
        }
        e.into_writer()
    }
}

/// The rule, whether the entry is put into a bundle or read from one.
fn rule_of_entry(broken: Entry<'static>) -> &'static str {
    let read = Forged::of(vec![broken]).rule();
    if let Err(refused) = bundle(vec![broken]) {
        assert_eq!(
            refused,
            BundleRefused {
                kid: Some(broken.kid),
                rule: read
            }
        );
    }
    read
}

#[test]
fn a_bundle_reads_back_with_its_keys_in_order() {
    let made = bundle(vec![entry(2), entry(1)]).unwrap();
    let bytes = made.encode();
    let read = TrustBundle::decode(&bytes).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.entries(), &[entry(1), entry(2)]);
    assert_eq!((read.issued_at(), read.expires_at()), (ISSUED, EXPIRES));
}

#[test]
fn a_kid_stands_once_and_in_order() {
    let rule = "kids are not ascending, each once";
    let twice = bundle(vec![entry(1), entry(1)]).unwrap_err();
    assert_eq!(
        twice,
        BundleRefused {
            kid: Some(Kid([1, 0, 0, 0])),
            rule
        }
    );
    assert_eq!(Forged::of(vec![entry(1), entry(1)]).rule(), rule);
    assert_eq!(Forged::of(vec![entry(2), entry(1)]).rule(), rule);
}

#[test]
fn a_bundle_holds_1_to_64_keys() {
    assert_eq!(bundle(vec![]).unwrap_err().rule, "not 1 to 64 keys");
    assert_eq!(Forged::of(vec![]).rule(), "no key");
    let many: Vec<_> = (0..=ENTRIES_MAX as u8).map(entry).collect();
    assert!(bundle(many[1..].to_vec()).is_ok());
    assert_eq!(bundle(many.clone()).unwrap_err().rule, "not 1 to 64 keys");
    assert_eq!(Forged::of(many).rule(), "array too long");
}

#[test]
fn a_bundle_of_another_version_is_refused() {
    let forged = Forged {
        version: 2,
        ..Forged::of(vec![entry(1)])
    };
    assert_eq!(forged.rule(), "unknown version of the trust bundle");
}

#[test]
fn a_bundle_expires_after_its_issue() {
    let rule = "the bundle does not expire after its issue";
    let refused = TrustBundle::new(ISSUED, ISSUED, vec![entry(1)]).unwrap_err();
    assert_eq!(refused, BundleRefused { kid: None, rule });
    let forged = Forged {
        life: (ISSUED.0, ISSUED.0),
        ..Forged::of(vec![entry(1)])
    };
    assert_eq!(forged.rule(), rule);
}

#[test]
fn a_bundle_has_at_most_64_kib() {
    let large = |kid| Entry {
        certificate: &LARGE[..CERTIFICATE_MAX],
        ..entry(kid)
    };
    let refused = bundle((0..16).map(large).collect()).unwrap_err();
    assert_eq!(refused.rule, "longer than 65536 bytes");
    assert_eq!(rule_of(&vec![0; BUNDLE_MAX + 1]), "longer than 65536 bytes");
}

#[test]
fn a_point_is_compressed_and_of_the_algorithms_curve() {
    let rule = "not a compressed point of the algorithm's curve";
    assert_eq!(
        rule_of_entry(Entry {
            point: &[2; 33],
            ..entry(1)
        }),
        rule
    );
    assert_eq!(
        rule_of_entry(Entry {
            algorithm: Algorithm::Esp256,
            ..entry(1)
        }),
        rule
    );
    assert_eq!(
        rule_of_entry(Entry {
            point: &[4; 49],
            ..entry(1)
        }),
        rule
    );
    assert_eq!(
        rule_of_entry(Entry {
            point: &[],
            ..entry(1)
        }),
        rule
    );
}

#[test]
fn a_key_does_not_end_before_it_begins() {
    let broken = Entry {
        not_after: UnixTime(1_789_999_999),
        ..entry(1)
    };
    assert_eq!(rule_of_entry(broken), "the key ends before it begins");
}

#[test]
fn an_operator_is_named_by_1_to_32_plain_characters() {
    let rule = "the operator is not 1 to 32 characters of a-z 0-9 -";
    for operator in ["", "City", "city bus", "stadt-züge"] {
        assert_eq!(
            rule_of_entry(Entry {
                operator,
                ..entry(1)
            }),
            rule
        );
    }
    let long = "a23456789012345678901234567890123";
    assert_eq!(
        rule_of_entry(
            Entry {
                operator: &long[..32],
                ..entry(1)
            }
            .with_no_class()
        ),
        "no rider class"
    );
    assert_eq!(
        Forged::of(vec![Entry {
            operator: long,
            ..entry(1)
        }])
        .rule(),
        "text too long"
    );
    assert_eq!(
        bundle(vec![Entry {
            operator: long,
            ..entry(1)
        }])
        .unwrap_err()
        .rule,
        rule
    );
}

trait Variant {
    fn with_no_class(self) -> Self;
}

impl Variant for Entry<'_> {
    fn with_no_class(self) -> Self {
        Self { classes: 0, ..self }
    }
}

#[test]
fn a_key_serves_a_class_at_least() {
    assert_eq!(rule_of_entry(entry(1).with_no_class()), "no rider class");
}

#[test]
fn a_certificate_has_1_to_4096_bytes() {
    let rule = "the certificate is not 1 to 4096 bytes";
    assert_eq!(
        rule_of_entry(Entry {
            certificate: &[],
            ..entry(1)
        }),
        rule
    );
    assert_eq!(
        rule_of_entry(Entry {
            certificate: LARGE,
            ..entry(1)
        }),
        rule
    );
}

#[test]
fn an_unknown_algorithm_is_refused() {
    let mut bytes = Forged::of(vec![entry(1)]).bytes();
    let esp384 = bytes
        .windows(2)
        .position(|pair| pair == [0x38, 50])
        .unwrap();
    bytes[esp384 + 1] = 51;
    assert_eq!(rule_of(&bytes), "algorithm is neither ESP384 nor ESP256");
}

#[test]
fn bytes_that_are_cut_or_followed_by_others_are_refused() {
    let bytes = good_bytes();
    let cut = (0..bytes.len()).map(|end| rule_of(&bytes[..end]));
    let rules: BTreeSet<_> = cut.collect();
    let expected = [
        "array",
        "byte string",
        "integer",
        "map",
        "text",
        "unsigned integer",
    ];
    let expected = expected.map(|kind| format!("{kind} expected"));
    assert!(rules.iter().eq(&expected), "{rules:?}");
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(rule_of(&longer), "trailing bytes");
}

#[test]
fn a_number_in_more_bytes_than_it_needs_is_refused() {
    let mut bytes = good_bytes();
    assert_eq!(bytes[..3], [0xa4, 0x01, 0x01]);
    bytes.splice(2..3, [0x18, 0x01]);
    assert_eq!(rule_of(&bytes), "not the shortest form");
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        place in 0usize..good_bytes().len(),
        value: u8,
    ) {
        let mut bytes = good_bytes();
        bytes[place] = value;
        if let Ok(read) = TrustBundle::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes.clone());
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(TrustBundle::decode(&bytes).is_err());
    }
}
