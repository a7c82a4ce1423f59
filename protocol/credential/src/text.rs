use crate::{Encoded, PRESENTATION_MAX, RefusalCode, base45};

/// What every PT1 boarding code begins with.
pub const PREFIX: &str = "PT1:";

/// Characters of the longest boarding code: the capacity of a QR code of version 13-M in
/// alphanumeric mode.
pub const TEXT_MAX: usize = 483;
const _: () = assert!(PREFIX.len() + base45::encoded_len(PRESENTATION_MAX) <= TEXT_MAX);

/// The boarding code of a presentation: the prefix and base45 (RFC 9285), written into `out`.
///
/// # Panics
/// Never for a presentation of this crate: at most 319 bytes make at most 483 characters.
#[must_use]
pub fn to_text<'a>(
    presentation: &Encoded<PRESENTATION_MAX>,
    out: &'a mut [u8; TEXT_MAX],
) -> &'a str {
    let (prefix, body) = out.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    let len = PREFIX.len() + base45::encode(presentation, body);
    core::str::from_utf8(&out[..len]).expect("prefix and base45 are ASCII")
}

/// The presentation's bytes of a scanned text. A scanner's line end must be gone before.
///
/// # Errors
/// [`RefusalCode::UnknownScheme`] for another prefix, [`RefusalCode::Malformed`] for more than
/// 483 characters or for anything that RFC 9285 does not allow.
pub fn from_text(text: &[u8]) -> Result<Encoded<PRESENTATION_MAX>, RefusalCode> {
    let body = text
        .strip_prefix(PREFIX.as_bytes())
        .ok_or(RefusalCode::UnknownScheme)?;
    if text.len() > TEXT_MAX {
        return Err(RefusalCode::Malformed);
    }
    let mut bytes = [0; PRESENTATION_MAX];
    let len = base45::decode(body, &mut bytes).map_err(|_| RefusalCode::Malformed)?;
    Encoded::copy_of(&bytes[..len]).ok_or(RefusalCode::Malformed)
}
