//! Base45 (RFC 9285) without allocation. The crates that exist return vectors, and the terminal
//! has no allocator to offer them.

use core::fmt;

const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// Why a text is not base45 (RFC 9285 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base45Error {
    /// A length of 3n + 1 characters.
    Length,
    /// A character outside the alphabet.
    Character,
    /// Three characters above 65 535 or a last pair above 255.
    Overflow,
    /// More bytes than the caller has room for.
    TooLong,
}

impl fmt::Display for Base45Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a base45 text never has 3n + 1 characters",
            Self::Character => "character outside the base45 alphabet",
            Self::Overflow => "base45 group above its range",
            Self::TooLong => "base45 text longer than the limit",
        })
    }
}

impl core::error::Error for Base45Error {}

pub(crate) const fn encoded_len(bytes: usize) -> usize {
    bytes / 2 * 3 + bytes % 2 * 2
}

/// Writes base45 of `bytes` to the front of `out`, which must hold `encoded_len` characters;
/// returns how many were written.
pub(crate) fn encode(bytes: &[u8], out: &mut [u8]) -> usize {
    let digit = |value: u16| ALPHABET[usize::from(value % 45)];
    let mut groups = out.chunks_mut(3);
    for pair in bytes.chunks(2) {
        let group = groups
            .next()
            .expect("the caller gave encoded_len characters");
        match *pair {
            [high, low] => {
                let value = u16::from_be_bytes([high, low]);
                group.copy_from_slice(&[digit(value), digit(value / 45), digit(value / 2025)]);
            }
            [single] => {
                group[..2].copy_from_slice(&[digit(single.into()), digit(u16::from(single) / 45)]);
            }
            _ => unreachable!("chunks of two are one or two long"),
        }
    }
    encoded_len(bytes.len())
}

/// Writes the bytes of a base45 `text` to the front of `out`; returns how many.
pub(crate) fn decode(text: &[u8], out: &mut [u8]) -> Result<usize, Base45Error> {
    let mut len = 0;
    let mut push = |byte: u8| {
        *out.get_mut(len).ok_or(Base45Error::TooLong)? = byte;
        len += 1;
        Ok(())
    };
    for group in text.chunks(3) {
        match *group {
            [c, d, e] => {
                let value = digit(c)? + 45 * digit(d)? + 2025 * digit(e)?;
                let value = u16::try_from(value).map_err(|_| Base45Error::Overflow)?;
                let [high, low] = value.to_be_bytes();
                push(high)?;
                push(low)?;
            }
            [c, d] => {
                let value = digit(c)? + 45 * digit(d)?;
                push(u8::try_from(value).map_err(|_| Base45Error::Overflow)?)?;
            }
            _ => return Err(Base45Error::Length),
        }
    }
    Ok(len)
}

fn digit(character: u8) -> Result<u32, Base45Error> {
    let value = match character {
        b'0'..=b'9' => character - b'0',
        b'A'..=b'Z' => character - b'A' + 10,
        b' ' => 36,
        b'$' => 37,
        b'%' => 38,
        b'*' => 39,
        b'+' => 40,
        b'-' => 41,
        b'.' => 42,
        b'/' => 43,
        b':' => 44,
        _ => return Err(Base45Error::Character),
    };
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> ([u8; 64], usize) {
        let mut out = [0; 64];
        let len = encode(bytes, &mut out);
        (out, len)
    }

    #[test]
    fn the_examples_of_rfc_9285_hold() {
        for (plain, text) in [
            (&b"AB"[..], &b"BB8"[..]),
            (b"Hello!!", b"%69 VD92EX0"),
            (b"base-45", b"UJCLQE7W581"),
            (b"ietf!", b"QED8WEX0"),
            (b"", b""),
        ] {
            let (out, len) = encoded(plain);
            assert_eq!(&out[..len], text);
            let mut back = [0; 64];
            let len = decode(text, &mut back).unwrap();
            assert_eq!(&back[..len], plain);
        }
    }

    #[test]
    fn what_rfc_9285_forbids_is_refused() {
        let refused = |text: &[u8]| decode(text, &mut [0; 64]).unwrap_err();
        assert_eq!(refused(b"A"), Base45Error::Length);
        assert_eq!(refused(b"BB8A"), Base45Error::Length);
        assert_eq!(refused(b"GGW"), Base45Error::Overflow); // 65 536
        assert_eq!(refused(b":::"), Base45Error::Overflow);
        assert_eq!(refused(b"V5"), Base45Error::Overflow); // 256
        assert_eq!(refused(b"bb8"), Base45Error::Character);
        assert_eq!(refused(b"BB\n"), Base45Error::Character);
        assert_eq!(refused(b"BB\xff"), Base45Error::Character);
        assert_eq!(decode(b"FGW", &mut [0; 2]), Ok(2)); // 65 535
        assert_eq!(decode(b"BB8", &mut [0; 1]), Err(Base45Error::TooLong));
    }

    #[test]
    fn every_pair_of_bytes_survives() {
        for value in 0..=u16::MAX {
            let bytes = value.to_be_bytes();
            let (out, len) = encoded(&bytes);
            let mut back = [0; 2];
            assert_eq!(decode(&out[..len], &mut back), Ok(2));
            assert_eq!(back, bytes);
        }
    }
}
