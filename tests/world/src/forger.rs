use std::{fs, path::Path};

use obol_credential::{
    Dynamic, Nonce, Presentation, UnixTime, assemble_presentation, from_text,
    presentation_signature_input,
};
use obol_wallet::{BoardingCode, Scale};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use crate::WorldError;

/// Draws what a thief makes of a photographed boarding code: its credential, the time `now`
/// (seconds since 1970), and the thief's own signature, since the phone's key does not leave the
/// phone.
///
/// # Errors
/// When the picture cannot be written.
///
/// # Panics
/// When `photographed` is not a boarding code.
pub fn forge(photographed: &str, now: u32, picture: &Path) -> Result<(), WorldError> {
    let bytes = from_text(photographed.as_bytes()).expect("a boarding code was photographed");
    let presentation = Presentation::decode(&bytes).expect("a boarding code was photographed");
    let credential = presentation.credential().bytes();
    let dynamic = Dynamic {
        issued_at: UnixTime(now),
        nonce: Nonce(*b"thif"),
        counter: 1,
    };
    let key = SigningKey::from_slice(&[0x66; 32]).expect("a scalar in range");
    let input = presentation_signature_input(credential, &dynamic).expect("it fitted before");
    let signature: Signature = key.sign(&input);
    let forged = assemble_presentation(credential, &dynamic, &signature.to_bytes().into());
    let code = BoardingCode::of(&forged.expect("it fitted before"));
    let scale = Scale::new(8).expect("8 pixels are in range");
    fs::write(picture, code.symbol().to_png(scale))
        .map_err(|error| WorldError::new(format!("{}: {error}", picture.display())))
}
