//! Three officers, and keys with nothing behind them.

use obol_credential::UnixTime;
use obol_kms_registry::{
    Algorithm, Approval, Class, Limits, NewKey, Officer, OfficerKey, Quorum, Roster, SpkiId,
    Statement,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const DAY: u32 = 86_400;

pub(crate) const ALICE: u8 = 1;
pub(crate) const BOB: u8 = 2;
pub(crate) const CAROL: u8 = 3;

pub(crate) fn approve(seed: u8, statement: &Statement) -> Approval {
    let key = signing_key(seed);
    let signature: Signature = key.sign(&statement.encode());
    Approval::new(statement, officer_key(seed), signature.to_bytes().into())
}

pub(crate) fn officer_key(seed: u8) -> OfficerKey {
    let point = signing_key(seed).verifying_key().to_sec1_point(true);
    OfficerKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap()
}

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

pub(crate) fn roster() -> Roster {
    let officers = [("alice", ALICE), ("bob", BOB), ("carol", CAROL)];
    let officers = officers.map(|(name, seed)| Officer::new(name, officer_key(seed)).unwrap());
    let quorum = Quorum {
        activate: 2,
        unsuspend: 2,
        cancel_destruction: 2,
        destroy: 2,
    };
    Roster::new(officers.into(), quorum).unwrap()
}

pub(crate) fn new_key(class: Class, seed: u8) -> NewKey {
    let algorithm = class.algorithms()[0];
    let spki_der = spki_der(algorithm, seed);
    NewKey {
        spki: SpkiId::of(&spki_der),
        spki_der,
        class,
        algorithm,
        token_serial: "a1b2c3d4e5f60718".to_owned(),
        label: format!("{class}-{seed}"),
        limits: Limits::of(class),
    }
}

/// The registry looks at the shape alone: whether the point is on its curve is the token's matter.
fn spki_der(algorithm: Algorithm, seed: u8) -> Vec<u8> {
    let (head, rest): (&[u8], usize) = match algorithm {
        Algorithm::EcP256 => (
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
            64,
        ),
        Algorithm::EcP384 => (
            b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04",
            96,
        ),
        Algorithm::Rsa2048 => (
            b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00",
            270,
        ),
        Algorithm::Aes256 => (b"", 20),
    };
    [head, &vec![seed; rest]].concat()
}
