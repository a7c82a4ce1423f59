//! Every rule of docs/spec/tap.md that a segment can break, each refused by its own name.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use obol_credential::{Encoded, Malformed, UnixTime};
use obol_tap::{
    Epoch, FareCharged, Head, PackId, SEGMENT_MAX, SEGMENT_RECORDS_MAX, SegmentRefusal, SpkiId,
    TapRecord, TerminalKey, TerminalName, UnsignedSegment, VerifiedSegment,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use proptest::prelude::*;

const EPOCH: Epoch = Epoch([0xe0; 8]);

fn terminal() -> TerminalName {
    TerminalName::new("bus-12").unwrap()
}

fn signer(byte: u8) -> SigningKey {
    SigningKey::from_slice(&[byte; 32]).unwrap()
}

fn public(signer: &SigningKey) -> TerminalKey {
    TerminalKey::from_sec1(signer.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

fn record(seq: u64) -> TapRecord {
    TapRecord {
        seq,
        accepted_at: UnixTime(1_800_000_000 + seq as u32),
        terminal: terminal(),
        presentation: Encoded::copy_of(&[seq as u8; 306]).unwrap(),
        fare: FareCharged {
            pack_id: PackId([1; 8]),
            rule: 1,
            amount_minor: 200,
        },
        flags: 0,
        zone: Some(0),
    }
}

fn records(range: impl Iterator<Item = u64>) -> Vec<Vec<u8>> {
    range.map(|seq| record(seq).encode()).collect()
}

fn sign(segment: &UnsignedSegment, signer: &SigningKey) -> Vec<u8> {
    let kid = public(signer).id();
    let signature: Signature = signer.sign(&segment.signature_input(kid));
    segment.assemble(kid, &signature.to_bytes().into())
}

fn three() -> UnsignedSegment {
    let origin = Head::origin(&terminal(), EPOCH);
    UnsignedSegment::new(&terminal(), EPOCH, 1, origin, &records(1..=3)).unwrap()
}

/// A segment as an attacker with the terminal's key would write it: any payload, well signed.
fn signed_payload(payload: &[u8]) -> Vec<u8> {
    let kid = public(&signer(1)).id();
    let header = [
        &[0xa3, 1, 0x28, 4, 0x58, 32][..],
        &kid.0,
        &[16, 0x78, 33],
        TYPE,
    ]
    .concat();
    signed(&header, payload)
}

const TYPE: &[u8] = b"application/vnd.obol.segment+cose";

fn signed(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let input = [
        &[0x84, 0x6a][..],
        b"Signature1",
        &bstr(header),
        &[0x40],
        &bstr(payload),
    ]
    .concat();
    let signature: Signature = signer(1).sign(&input);
    [
        &[0xd2, 0x84][..],
        &bstr(header),
        &[0xa0],
        &bstr(payload),
        &bstr(&signature.to_bytes()),
    ]
    .concat()
}

fn bstr(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let head = match len {
        0..24 => vec![0x40 + len as u8],
        24..256 => vec![0x58, len as u8],
        256..65_536 => vec![0x59, (len >> 8) as u8, len as u8],
        _ => vec![
            0x5a,
            (len >> 24) as u8,
            (len >> 16) as u8,
            (len >> 8) as u8,
            len as u8,
        ],
    };
    [head, bytes.to_vec()].concat()
}

struct Payload {
    version: u8,
    first_seq: u8,
    previous: Head,
    records: Vec<Vec<u8>>,
    last: Option<Head>,
}

impl Payload {
    fn of(first_seq: u8, records: Vec<Vec<u8>>) -> Self {
        Self {
            version: 1,
            first_seq,
            previous: Head::origin(&terminal(), EPOCH),
            records,
            last: None,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let count = self.records.len();
        let last = self
            .records
            .iter()
            .fold(self.previous, |head, record| head.then(record));
        let count = match count {
            0..24 => vec![0x80 + count as u8],
            _ => vec![0x99, (count >> 8) as u8, count as u8],
        };
        [
            vec![0x87, self.version, 0x66],
            b"bus-12".to_vec(),
            bstr(&EPOCH.0),
            vec![self.first_seq],
            bstr(&self.previous.0),
            count,
            self.records.iter().flat_map(|r| bstr(r)).collect(),
            bstr(&self.last.unwrap_or(last).0),
        ]
        .concat()
    }

    fn refusal(&self) -> SegmentRefusal {
        refusal(&signed_payload(&self.bytes()))
    }
}

fn refusal(bytes: &[u8]) -> SegmentRefusal {
    VerifiedSegment::decode(bytes, &public(&signer(1))).unwrap_err()
}

fn rule(refusal: SegmentRefusal) -> &'static str {
    match refusal {
        SegmentRefusal::Malformed(Malformed { rule, .. }) => rule,
        other => panic!("{other}"),
    }
}

#[test]
fn a_signed_segment_is_read_back_with_its_chain() {
    let segment = three();
    let read = VerifiedSegment::decode(&sign(&segment, &signer(1)), &public(&signer(1))).unwrap();
    assert_eq!(*read.terminal(), terminal());
    assert_eq!(read.key(), public(&signer(1)).id());
    assert_eq!(read.epoch(), EPOCH);
    assert_eq!((read.first_seq(), read.last_seq()), (1, 3));
    assert_eq!(read.previous_head(), Head::origin(&terminal(), EPOCH));
    assert_eq!(read.last_head(), segment.last_head());
    assert_eq!(read.records()[2].record, record(3));
    assert_eq!(read.records()[2].head, segment.last_head());
}

#[test]
fn the_hand_written_form_is_the_one_that_is_made() {
    let payload = Payload::of(1, records(1..=3)).bytes();
    assert_eq!(signed_payload(&payload), sign(&three(), &signer(1)));
}

#[test]
fn a_segment_of_1000_of_the_longest_records_is_within_its_limit_and_1001_are_refused() {
    let longest = |seq| TapRecord {
        presentation: Encoded::copy_of(&[seq as u8; 319]).unwrap(),
        ..record(seq)
    };
    let origin = Head::origin(&terminal(), EPOCH);
    let full: Vec<_> = (1..=1000).map(|seq| longest(seq).encode()).collect();
    assert_eq!(full.len(), SEGMENT_RECORDS_MAX);
    let segment = UnsignedSegment::new(&terminal(), EPOCH, 1, origin, &full).unwrap();
    let bytes = sign(&segment, &signer(1));
    assert!(bytes.len() <= SEGMENT_MAX);
    VerifiedSegment::decode(&bytes, &public(&signer(1))).unwrap();

    let refused = UnsignedSegment::new(&terminal(), EPOCH, 1, origin, &records(1..=1001));
    assert_eq!(rule(refused.unwrap_err()), "array too long");
    assert_eq!(
        rule(Payload::of(1, records(1..=1001)).refusal()),
        "array too long"
    );
}

#[test]
fn a_segment_longer_than_a_mebibyte_is_refused_before_it_is_read() {
    let len = SEGMENT_MAX + 1;
    assert_eq!(refusal(&vec![0; len]), SegmentRefusal::TooLong { len });
}

#[test]
fn a_segment_by_another_key_is_refused() {
    let bytes = sign(&three(), &signer(2));
    let found = public(&signer(2)).id();
    assert_eq!(refusal(&bytes), SegmentRefusal::AnotherKey { found });
}

#[test]
fn a_signature_by_another_key_under_our_kid_is_refused() {
    let segment = three();
    let kid = public(&signer(1)).id();
    let signature: Signature = signer(2).sign(&segment.signature_input(kid));
    let bytes = segment.assemble(kid, &signature.to_bytes().into());
    assert_eq!(refusal(&bytes), SegmentRefusal::Signature);
    assert_eq!(
        refusal(&segment.assemble(kid, &[0; 64])),
        SegmentRefusal::Signature
    );
}

#[test]
fn a_segment_without_records_is_refused() {
    assert_eq!(Payload::of(1, vec![]).refusal(), SegmentRefusal::Empty);
    let origin = Head::origin(&terminal(), EPOCH);
    let none = UnsignedSegment::new::<Vec<u8>>(&terminal(), EPOCH, 1, origin, &[]);
    assert_eq!(none.unwrap_err(), SegmentRefusal::Empty);
}

#[test]
fn a_gap_a_repeat_and_a_wrong_start_are_refused() {
    let gap = [records(1..=2), records(4..=4)].concat();
    let repeat = [records(1..=2), records(2..=2)].concat();
    for (payload, expected, found) in [
        (Payload::of(1, gap), 3, 4),
        (Payload::of(1, repeat), 3, 2),
        (Payload::of(1, records(2..=3)), 1, 2),
    ] {
        assert_eq!(
            payload.refusal(),
            SegmentRefusal::Sequence { expected, found }
        );
    }
    let payload = Payload::of(0, records(1..=1));
    assert_eq!(
        rule(payload.refusal()),
        "sequence number is not 1 ..= 2^63 - 1"
    );
}

#[test]
fn a_record_of_another_terminal_is_refused() {
    let foreign = TapRecord {
        terminal: TerminalName::new("bus-13").unwrap(),
        ..record(2)
    };
    let payload = Payload::of(1, vec![record(1).encode(), foreign.encode()]);
    assert_eq!(payload.refusal(), SegmentRefusal::Terminal { seq: 2 });
}

#[test]
fn a_first_record_that_does_not_follow_the_origin_is_refused() {
    let found = Head([9; 32]);
    let payload = Payload {
        previous: found,
        ..Payload::of(1, records(1..=2))
    };
    assert_eq!(payload.refusal(), SegmentRefusal::Origin { found });
}

#[test]
fn a_later_segment_may_follow_any_head_and_says_which() {
    let previous = Head([9; 32]);
    let payload = Payload {
        previous,
        ..Payload::of(2, records(2..=3))
    };
    let bytes = signed_payload(&payload.bytes());
    let read = VerifiedSegment::decode(&bytes, &public(&signer(1))).unwrap();
    assert_eq!(read.previous_head(), previous);
}

#[test]
fn a_last_head_that_the_records_do_not_lead_to_is_refused() {
    let claimed = Head([9; 32]);
    let payload = Payload {
        last: Some(claimed),
        ..Payload::of(1, records(1..=3))
    };
    let computed = three().last_head();
    assert_eq!(
        payload.refusal(),
        SegmentRefusal::Chain { computed, claimed }
    );
}

#[test]
fn a_segment_of_another_version_is_refused() {
    let payload = Payload {
        version: 2,
        ..Payload::of(1, records(1..=1))
    };
    assert_eq!(rule(payload.refusal()), "another version than 1");
}

#[test]
fn trailing_bytes_are_refused_at_every_level() {
    let mut long_record = record(1).encode();
    long_record.push(0);
    assert_eq!(
        rule(Payload::of(1, vec![long_record]).refusal()),
        "trailing bytes"
    );

    let mut payload = Payload::of(1, records(1..=1)).bytes();
    payload.push(0);
    assert_eq!(rule(refusal(&signed_payload(&payload))), "trailing bytes");

    let mut envelope = sign(&three(), &signer(1));
    envelope.push(0);
    assert_eq!(rule(refusal(&envelope)), "trailing bytes");
}

#[test]
fn the_error_in_a_record_is_reported_at_its_place_in_the_segment() {
    let mut broken = record(1).encode();
    broken[1] = 3;
    let bytes = signed_payload(&Payload::of(1, vec![broken.clone()]).bytes());
    let at = bytes.windows(9).position(|w| w == &broken[..9]).unwrap() + 1;
    let rule = "another version than 1 and 2";
    assert_eq!(
        refusal(&bytes),
        SegmentRefusal::Malformed(Malformed { at, rule })
    );
}

#[test]
fn another_algorithm_another_type_and_unprotected_headers_are_refused() {
    let payload = Payload::of(1, records(1..=1)).bytes();
    let SpkiId(kid) = public(&signer(1)).id();
    let header = |alg: &[u8], typ: &[u8]| {
        let parts: [&[u8]; 6] = [&[0xa3, 1], alg, &[4, 0x58, 32], &kid, &[16, 0x78, 33], typ];
        signed(&parts.concat(), &payload)
    };
    // ES256 (-7), the polymorphic name of the same algorithm, is not ESP256
    assert_eq!(
        rule(refusal(&header(&[0x26], TYPE))),
        "algorithm is not ESP256"
    );
    let other = b"application/vnd.obol.sigment+cose";
    assert_eq!(
        rule(refusal(&header(&[0x28], other))),
        "another type than a segment"
    );

    let mut bytes = signed_payload(&payload);
    let map = bytes.windows(2).position(|w| w == [0xa0, 0x59]).unwrap();
    bytes.splice(map..=map, [0xa1, 1, 2]);
    assert_eq!(rule(refusal(&bytes)), "map of another length");
    assert_eq!(rule(refusal(&bytes[1..])), "tag expected");
}

#[test]
fn only_an_uncompressed_p256_key_is_a_terminal_key() {
    let point = signer(1).verifying_key().to_sec1_point(false);
    let mut spki =
        hex_literal::hex!("3059301306072a8648ce3d020106082a8648ce3d030107034200").to_vec();
    spki.extend(point.as_bytes());
    assert_eq!(TerminalKey::from_spki_der(&spki), Some(public(&signer(1))));
    let compressed = signer(1).verifying_key().to_sec1_point(true);
    assert_eq!(TerminalKey::from_sec1(compressed.as_bytes()), None);
    assert_eq!(TerminalKey::from_spki_der(&spki[1..]), None);
    assert_eq!(TerminalKey::from_spki_der(&spki[..90]), None);
    spki[90] ^= 1;
    assert_eq!(TerminalKey::from_spki_der(&spki), None);
}

proptest! {
    #[test]
    fn any_flipped_bit_and_any_cut_is_refused(position in any::<prop::sample::Index>(), bit in 0..8u32) {
        let good = sign(&three(), &signer(1));
        let at = position.index(good.len());
        let mut flipped = good.clone();
        flipped[at] ^= 1u8 << bit;
        prop_assert!(VerifiedSegment::decode(&flipped, &public(&signer(1))).is_err());
        prop_assert!(VerifiedSegment::decode(&good[..at], &public(&signer(1))).is_err());
    }

    #[test]
    fn a_record_has_one_encoding(
        seq in 1..=i64::MAX as u64,
        accepted_at: u32,
        name in "[a-z0-9-]{1,32}",
        presentation in prop::collection::vec(any::<u8>(), 0..=319),
        pack_id: [u8; 8],
        rule: u16,
        amount_minor: u32,
        flags: u8,
        zone in proptest::option::of(0..=63_u8),
    ) {
        let record = TapRecord {
            seq,
            accepted_at: UnixTime(accepted_at),
            terminal: TerminalName::new(&name).unwrap(),
            presentation: Encoded::copy_of(&presentation).unwrap(),
            fare: FareCharged { pack_id: PackId(pack_id), rule, amount_minor },
            flags,
            zone,
        };
        let bytes = record.encode();
        prop_assert_eq!(TapRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn noise_is_refused_and_whatever_is_read_is_written_the_same(
        noise in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        if let Ok(record) = TapRecord::decode(&noise) {
            prop_assert_eq!(record.encode(), noise.clone());
        }
        prop_assert!(VerifiedSegment::decode(&noise, &public(&signer(1))).is_err());
    }
}
