use obol_credential::{
    Dynamic, Nonce, Presentation, TEXT_MAX, UnixTime, assemble_presentation, from_text,
    presentation_signature_input, to_text,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

/// What a thief makes of a photographed boarding code: its credential, a fresh time, and the
/// thief's own signature, since the phone's key does not leave the phone.
///
/// # Panics
/// When `photographed` is not a boarding code.
#[must_use]
pub fn forged_code(photographed: &str, now: UnixTime) -> String {
    let bytes = from_text(photographed.as_bytes()).expect("a boarding code was photographed");
    let presentation = Presentation::decode(&bytes).expect("a boarding code was photographed");
    let credential = presentation.credential().bytes();
    let dynamic = Dynamic {
        issued_at: now,
        nonce: Nonce(*b"thif"),
        counter: 1,
    };
    let key = SigningKey::from_slice(&[0x66; 32]).expect("a scalar in range");
    let input = presentation_signature_input(credential, &dynamic).expect("it fitted before");
    let signature: Signature = key.sign(&input);
    let forged = assemble_presentation(credential, &dynamic, &signature.to_bytes().into());
    to_text(&forged.expect("it fitted before"), &mut [0; TEXT_MAX]).to_owned()
}
