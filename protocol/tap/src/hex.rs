//! Lower-case hex for fixed byte strings: how they are shown and how they stand in JSON.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(crate) fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

pub(crate) fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

pub(crate) fn serialize<S: Serializer>(
    value: &impl fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format_args!(
            "{text:?} is not {} digits of lower-case hex",
            2 * N
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn only_lower_case_hex_of_the_right_length_is_read() {
        assert_eq!(parse("00ff"), Some([0, 255]));
        for bad in ["", "00f", "00fff", "00FF", "0g00", "+100"] {
            assert_eq!(parse::<2>(bad), None, "{bad}");
        }
    }
}
