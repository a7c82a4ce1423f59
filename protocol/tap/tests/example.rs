//! The worked example of docs/spec/tap.md, made again and compared with what stands there.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::fmt::Write;

use obol_credential::{Encoded, UnixTime};
use obol_tap::{
    Epoch, FareCharged, Head, PackId, TapRecord, TerminalKey, TerminalName, UnsignedSegment,
    VerifiedSegment,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

const SPECIFICATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/tap.md");

#[test]
fn the_example_of_the_specification_is_what_this_crate_makes() {
    let terminal = TerminalName::new("bus-12").unwrap();
    let epoch = Epoch([0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7]);
    let record = TapRecord {
        seq: 1,
        accepted_at: UnixTime(1_800_000_000),
        terminal: terminal.clone(),
        presentation: Encoded::copy_of(&[0x84, 0x41, 0x42, 0x43]).unwrap(),
        fare: FareCharged {
            pack_id: PackId([1, 2, 3, 4, 5, 6, 7, 8]),
            rule: 3,
            amount_minor: 200,
        },
        flags: 0,
        zone: None,
    };
    let mut number_one = [0; 32];
    number_one[31] = 1;
    let signer = SigningKey::from_slice(&number_one).unwrap();
    let point = signer.verifying_key().to_sec1_point(false);
    let key = TerminalKey::from_sec1(point.as_bytes()).unwrap();

    let bytes = record.encode();
    let origin = Head::origin(&terminal, epoch);
    let unsigned = UnsignedSegment::new(&terminal, epoch, 1, origin, &[&bytes]).unwrap();
    let input = unsigned.signature_input(key.id());
    let signature: Signature = signer.sign(&input);
    let segment = unsigned.assemble(key.id(), &signature.to_bytes().into());
    VerifiedSegment::decode(&segment, &key).unwrap();

    let heads = [origin.0, unsigned.last_head().0].concat();
    let zoned = TapRecord {
        zone: Some(2),
        ..record
    };
    let made = [bytes, heads, input, segment, zoned.encode()].map(|bytes| hex(&bytes));
    assert_eq!(
        blocks(&std::fs::read_to_string(SPECIFICATION).unwrap()),
        made
    );
}

/// The contents of the ```hex blocks, without line feeds.
fn blocks(specification: &str) -> Vec<String> {
    specification
        .split("```hex\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().replace('\n', ""))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
