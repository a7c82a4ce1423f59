//! From a signed credential to what a scanner reads, and back.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

use obol_credential::{
    Algorithm, Claims, Credential, Cti, FareTerms, Kid, Nonce, Presentation, TEXT_MAX, UnixTime,
    assemble_credential, credential_signature_input, from_text,
};
use obol_wallet::{HeldCredential, Key, PresentError, QUIET_ZONE, Scale, VERSION_MAX};
use p256::ecdsa::signature::Verifier;
use p384::ecdsa::signature::Signer;
use proptest::prelude::*;
use rxing::BarcodeFormat;
use rxing::helpers::detect_in_luma;

const ISSUED: u32 = 1_800_000_000;
const EXPIRES: u32 = ISSUED + 86_400;

fn signed(claims: &Claims) -> Vec<u8> {
    let issuer = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let (kid, bytes) = (Kid([1, 2, 3, 4]), claims.encode());
    let input = credential_signature_input(Algorithm::Esp384, kid, &bytes).unwrap();
    let signature: p384::ecdsa::Signature = issuer.sign(&input);
    assemble_credential(Algorithm::Esp384, kid, &bytes, &signature.to_bytes())
        .unwrap()
        .to_vec()
}

fn claims(device_key: &Key, fare: FareTerms) -> Claims {
    Claims {
        issued_at: UnixTime(ISSUED),
        expires_at: UnixTime(EXPIRES),
        cti: Cti([0xc7; 8]),
        device_key: device_key.public(),
        fare,
    }
}

fn fare() -> FareTerms {
    FareTerms {
        class: 1,
        cap_minor: 1_000,
        window_s: 30,
        status_index: 70_000,
        flags: 0,
    }
}

fn held() -> HeldCredential {
    let device_key = Key::from_bytes(&[9; 32]).unwrap();
    HeldCredential::new(signed(&claims(&device_key, fare())), device_key).unwrap()
}

/// The PNG as a scanner's camera would deliver it: one byte of brightness a pixel.
fn luma(png: &[u8]) -> (Vec<u8>, u32) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(
        (info.color_type, info.width),
        (png::ColorType::Grayscale, info.height)
    );
    (pixels, info.width)
}

fn scanned(png: &[u8]) -> String {
    let (pixels, side) = luma(png);
    let found = detect_in_luma(pixels, side, side, Some(BarcodeFormat::QR_CODE)).unwrap();
    found.getText().to_owned()
}

#[test]
fn a_scanner_reads_from_the_picture_what_the_phone_meant() {
    let mut held = held();
    let code = held
        .present(UnixTime(ISSUED + 60), Nonce([1, 2, 3, 4]))
        .unwrap();
    for pixels in [3, 8] {
        let png = code.symbol().to_png(Scale::new(pixels).unwrap());
        assert_eq!(scanned(&png), code.text());
    }
}

#[test]
fn a_code_carries_the_credential_unchanged_and_is_signed_by_its_device_key() {
    let mut held = held();
    let credential = held.bytes().to_vec();
    let code = held
        .present(UnixTime(ISSUED + 60), Nonce([1, 2, 3, 4]))
        .unwrap();
    let bytes = from_text(code.text().as_bytes()).unwrap();
    let presentation = Presentation::decode(&bytes).unwrap();
    assert_eq!(presentation.credential().bytes(), credential);
    let dynamic = presentation.dynamic();
    assert_eq!(
        (dynamic.issued_at, dynamic.nonce),
        (UnixTime(ISSUED + 60), Nonce([1, 2, 3, 4]))
    );
    assert_eq!(dynamic.counter, 1);

    let point = held.device_key().public();
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point.as_sec1()).unwrap();
    let signature = p256::ecdsa::Signature::from_slice(presentation.signature()).unwrap();
    key.verify(&presentation.signature_input(), &signature)
        .unwrap();
}

#[test]
fn the_counter_rises_with_every_code() {
    let mut held = held();
    for count in 1..=3 {
        held.present(UnixTime(ISSUED), Nonce([0; 4])).unwrap();
        assert_eq!(held.counter(), count);
    }
    let (bytes, key) = (held.bytes().to_vec(), held.device_key().clone());
    let mut last = HeldCredential::resume(bytes, key, u32::MAX).unwrap();
    let refused = last.present(UnixTime(ISSUED), Nonce([0; 4])).unwrap_err();
    assert!(matches!(refused, PresentError::UsedUp));
    assert_eq!(last.counter(), u32::MAX);
}

#[test]
fn a_credential_past_its_life_makes_no_code() {
    let mut held = held();
    held.present(UnixTime(EXPIRES - 1), Nonce([0; 4])).unwrap();
    let refused = held.present(UnixTime(EXPIRES), Nonce([0; 4])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("the credential ended at {EXPIRES}, and now is {EXPIRES}")
    );
    assert_eq!(held.counter(), 1);
}

#[test]
fn a_credential_for_another_key_is_not_taken() {
    let bytes = held().bytes().to_vec();
    let other = Key::from_bytes(&[8; 32]).unwrap();
    let refused = HeldCredential::new(bytes, other).unwrap_err();
    assert!(matches!(refused, PresentError::OtherKey));
    let key = Key::from_bytes(&[9; 32]).unwrap();
    let refused = HeldCredential::new(b"noise".to_vec(), key).unwrap_err();
    assert!(matches!(refused, PresentError::Malformed(_)));
}

#[test]
fn the_picture_is_black_on_white_with_four_light_modules_around() {
    let code = held().present(UnixTime(ISSUED), Nonce([0; 4])).unwrap();
    let (pixels, side) = luma(&code.symbol().to_png(Scale::new(1).unwrap()));
    let modules = 17 + 4 * u32::from(code.symbol().version());
    let quiet = QUIET_ZONE as u32;
    assert_eq!(side, modules + 2 * quiet);
    let at = |x: u32, y: u32| pixels[(y * side + x) as usize];
    for place in 0..side {
        for edge in (0..quiet).chain(side - quiet..side) {
            assert_eq!((at(edge, place), at(place, edge)), (255, 255));
        }
    }
    assert_eq!(
        at(quiet, quiet),
        0,
        "the corner of a finder pattern is dark"
    );
}

#[test]
fn a_terminal_shows_the_same_modules_whatever_its_theme() {
    let symbol = held()
        .present(UnixTime(ISSUED), Nonce([0; 4]))
        .unwrap()
        .symbol();
    let (pixels, side) = luma(&symbol.to_png(Scale::new(1).unwrap()));
    let drawing = symbol.to_terminal();
    let lines: Vec<&str> = drawing.lines().collect();
    assert_eq!(lines.len(), side.div_ceil(2) as usize);
    let name = |x: u32, y: u32| match pixels.get((y * side + x) as usize) {
        Some(0) => 16,
        _ => 231,
    };
    for (row, line) in (0..).step_by(2).zip(lines) {
        let cells: Vec<&str> = line
            .trim_end_matches("\x1b[0m")
            .split_inclusive('▀')
            .collect();
        assert_eq!(cells.len(), side as usize);
        for (column, cell) in (0..).zip(cells) {
            let (upper, lower) = (name(column, row), name(column, row + 1));
            assert_eq!(cell, format!("\x1b[38;5;{upper};48;5;{lower}m▀"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_code_fits_version_13_m_and_483_characters(
        class in 0u8..=31,
        cap_minor: u32,
        window_s in 1u16..,
        status_index: u32,
        flags: u8,
        counter in 0u32..u32::MAX,
        nonce: [u8; 4],
        at in 0u32..EXPIRES,
    ) {
        let device_key = Key::from_bytes(&[9; 32]).unwrap();
        let fare = FareTerms { class, cap_minor, window_s, status_index, flags };
        let bytes = signed(&claims(&device_key, fare));
        let mut held = HeldCredential::resume(bytes, device_key, counter).unwrap();
        let code = held.present(UnixTime(at), Nonce(nonce)).unwrap();
        prop_assert!(code.text().len() <= TEXT_MAX);
        prop_assert!(code.symbol().version() <= VERSION_MAX);
        let decoded = from_text(code.text().as_bytes()).unwrap();
        let presentation = Presentation::decode(&decoded).unwrap();
        let credential = Credential::decode(held.bytes()).unwrap();
        prop_assert_eq!(presentation.credential().claims(), credential.claims());
    }
}
