use obol_credential::{Algorithm, Kid};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;

use super::*;
use crate::payload::tuf_key_id;
use crate::public_key::Curve;

const END: UnixTime = UnixTime(1_900_000_000);

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn public(seed: u8) -> PublicKey {
    let point = secret(seed).verifying_key().to_sec1_point(false);
    PublicKey::from_sec1(Curve::P256, point.as_bytes()).unwrap()
}

fn sign(metadata: &[u8], seed: u8) -> TufSignature {
    let canonical = Json::parse(metadata, METADATA_MAX).unwrap().canonical();
    let signature: p256::ecdsa::Signature = secret(seed).sign(&canonical);
    TufSignature {
        keyid: tuf_key_id(&public(seed)),
        sig: data_encoding::HEXLOWER.encode(signature.to_der().as_bytes()),
        version: 1,
    }
}

/// Officers 1, 2, 3; targets 4, timestamp 5, snapshot 6.
fn draft_root(version: u32, threshold: u32) -> Result<Vec<u8>, DraftRefused> {
    root(&RootDraft {
        version,
        expires: END,
        officers: &[public(1), public(2), public(3)],
        threshold,
        targets: &public(4),
        timestamp: &public(5),
        snapshot: &public(6),
    })
}

fn bundle_until(end: UnixTime) -> Vec<u8> {
    let point = [&[2][..], &[7; 32]].concat();
    let entry = Entry {
        kid: Kid([1; 4]),
        algorithm: Algorithm::Esp256,
        point: &point,
        not_before: UnixTime(1),
        not_after: END,
        operator: "linea",
        classes: 2,
        certificate: b"a certificate",
    };
    let bundle = TrustBundle::new(UnixTime(2), end, vec![entry]);
    bundle.unwrap().encode()
}

fn draft_targets(bundle: &[u8]) -> Result<Vec<u8>, DraftRefused> {
    targets(&TargetsDraft {
        version: 1,
        expires: END,
        bundle,
        denylist: &public(7),
        fares: &public(8),
    })
}

#[test]
fn a_root_takes_the_signatures_of_two_different_officers() {
    let draft = draft_root(1, 2).unwrap();
    let signed = assemble_root(&draft, &[sign(&draft, 1), sign(&draft, 3)], None).unwrap();
    let parsed = Signed::parse(&signed, METADATA_MAX).unwrap();
    let read = Root::read(parsed.unverified()).unwrap();
    assert_eq!((read.head.version, read.keys.len()), (1, 6));
    let short = |good| DraftRefused::Threshold {
        by: "itself",
        why: ThresholdNotMet { good, needed: 2 },
    };
    let one = assemble_root(&draft, &[sign(&draft, 2)], None);
    assert_eq!(one.unwrap_err(), short(1));
    let strangers = [sign(&draft, 4), sign(&draft, 9)];
    assert_eq!(
        assemble_root(&draft, &strangers, None).unwrap_err(),
        short(0)
    );
    let twice = [sign(&draft, 2), sign(&draft, 2)];
    let refused = assemble_root(&draft, &twice, None).unwrap_err();
    assert!(matches!(refused, DraftRefused::Root(_)), "{refused}");
}

#[test]
fn a_root_of_one_officer_is_no_draft() {
    let refused = draft_root(1, 1).unwrap_err().to_string();
    assert_eq!(refused, "the root's threshold must be at least 2");
    let refused = draft_root(1, 4).unwrap_err().to_string();
    assert_eq!(refused, "a threshold is 1 to the number of the role's keys");
}

#[test]
fn a_next_root_is_signed_by_the_officers_of_the_one_before_and_follows_it() {
    let sign_by_two = |draft: &[u8]| [sign(draft, 1), sign(draft, 2)];
    let first = draft_root(1, 2).unwrap();
    let first = assemble_root(&first, &sign_by_two(&first), None).unwrap();
    let second = draft_root(2, 2).unwrap();
    assemble_root(&second, &sign_by_two(&second), Some(&first)).unwrap();
    let third = draft_root(3, 2).unwrap();
    let refused = assemble_root(&third, &sign_by_two(&third), Some(&first));
    let (found, before) = (3, 1);
    assert_eq!(
        refused.unwrap_err(),
        DraftRefused::Version { found, before }
    );
}

#[test]
fn targets_are_signed_by_the_roots_key_and_do_not_outlive_their_bundle() {
    let draft = draft_root(1, 2).unwrap();
    let root = assemble_root(&draft, &[sign(&draft, 1), sign(&draft, 2)], None).unwrap();
    let draft = draft_targets(&bundle_until(END)).unwrap();
    let signed = assemble_targets(&draft, &[sign(&draft, 4)], &root).unwrap();
    let parsed = Signed::parse(&signed, METADATA_MAX).unwrap();
    let read = Targets::read(parsed.unverified()).unwrap();
    assert!(read.targets[BUNDLE_PATH].fits(&bundle_until(END)));
    let names: Vec<_> = read
        .delegations
        .unwrap()
        .roles
        .into_iter()
        .map(|role| role.name)
        .collect();
    assert_eq!(names, ["denylist", "fares"]);
    let officers = assemble_targets(&draft, &[sign(&draft, 1)], &root).unwrap_err();
    assert_eq!(
        officers.to_string(),
        "by the keys of the root: 0 of the role's keys have signed, and it takes 1"
    );

    let early = UnixTime(END.0 - 1);
    let refused = draft_targets(&bundle_until(early)).unwrap_err();
    let expected = DraftRefused::BundleEnds {
        bundle: early,
        targets: END,
    };
    assert_eq!(refused, expected);
}
