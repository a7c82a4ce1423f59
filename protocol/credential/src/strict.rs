//! A reader of deterministic CBOR (RFC 8949 section 4.2.1) that accepts nothing else.
//!
//! The reader walks the bytes in the order the schema dictates and never recurses, so nesting is
//! bounded by the schema itself; map keys are asked for one by one in their sorted order, which
//! refuses missing, doubled, unknown and unsorted keys alike.

use core::fmt;
use minicbor::{Decoder, decode};

/// The first byte that breaks the rules, and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the offending item in the bytes given to the reader.
    pub at: usize,
    /// What was expected there.
    pub rule: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.rule)
    }
}

impl core::error::Error for Malformed {}

/// Reads one deterministic CBOR item after another from a byte string.
///
/// ```
/// use obol_credential::strict::Reader;
/// let mut reader = Reader::new(&[0x82, 0x01, 0x61, b'a']);
/// reader.array(2)?;
/// assert_eq!(reader.uint()?, 1);
/// assert_eq!(reader.text(8)?, "a");
/// reader.finish()?;
/// // 1 in two bytes is not the shortest form
/// assert!(Reader::new(&[0x18, 0x01]).uint().is_err());
/// # Ok::<(), obol_credential::Malformed>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            decoder: Decoder::new(bytes),
        }
    }

    /// Offset of the next item.
    #[must_use]
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    /// A definite-length array of exactly `len` items.
    ///
    /// # Errors
    /// [`Malformed`] for another type, another length, an indefinite length or a longer head.
    pub fn array(&mut self, len: u64) -> Result<(), Malformed> {
        let at = self.position();
        let found = self.array_up_to(len)?;
        self.demand(at, found == len, "array of another length")
    }

    /// A definite-length array of at most `max` items; returns how many.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::array`], and when the array is longer than `max`.
    pub fn array_up_to(&mut self, max: u64) -> Result<u64, Malformed> {
        let at = self.position();
        let len = self.item("array expected", |d| d.array())?;
        let len = len.ok_or(Malformed {
            at,
            rule: "indefinite length",
        })?;
        self.shortest(at, len, 0)?;
        self.demand(at, len <= max, "array too long")?;
        Ok(len)
    }

    /// A definite-length map of exactly `len` entries.
    ///
    /// # Errors
    /// [`Malformed`] for another type, another length, an indefinite length or a longer head.
    pub fn map(&mut self, len: u64) -> Result<(), Malformed> {
        let at = self.position();
        let found = self.item("map expected", |d| d.map())?;
        let found = found.ok_or(Malformed {
            at,
            rule: "indefinite length",
        })?;
        self.shortest(at, found, 0)?;
        self.demand(at, found == len, "map of another length")
    }

    /// The map key `expected`. Asking in bytewise order refuses unsorted, doubled, missing and
    /// unknown keys.
    ///
    /// # Errors
    /// [`Malformed`] when the next item is not that integer.
    pub fn key(&mut self, expected: i64) -> Result<(), Malformed> {
        let at = self.position();
        let found = self.int()?;
        self.demand(at, found == expected, "unexpected map key")
    }

    /// An unsigned integer in its shortest form.
    ///
    /// # Errors
    /// [`Malformed`] for another type or a longer form.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        let at = self.position();
        let value = self.item("unsigned integer expected", |d| d.u64())?;
        self.shortest(at, value, 0)?;
        Ok(value)
    }

    /// An unsigned integer that fits `T`.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::uint`], and when the value is out of `T`'s range.
    pub fn uint_as<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        let at = self.position();
        T::try_from(self.uint()?).map_err(|_| Malformed {
            at,
            rule: "integer out of range",
        })
    }

    /// An integer of either sign in its shortest form, within the range of `i64`.
    ///
    /// # Errors
    /// [`Malformed`] for another type, a longer form or a value outside `i64`.
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let at = self.position();
        let value = self.item("integer expected", |d| d.i64())?;
        let magnitude = if value < 0 { !value } else { value };
        self.shortest(at, magnitude.unsigned_abs(), 0)?;
        Ok(value)
    }

    /// A definite-length byte string.
    ///
    /// # Errors
    /// [`Malformed`] for another type, an indefinite length or a longer head.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let at = self.position();
        let value = self.item("byte string expected", |d| d.bytes())?;
        self.shortest(at, value.len() as u64, value.len())?;
        Ok(value)
    }

    /// A byte string that wraps further CBOR, handed to `read`; an error inside it is reported
    /// at its place in the outer bytes.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::bytes`], and what `read` returns.
    pub fn embedded<T>(
        &mut self,
        read: impl FnOnce(&'a [u8]) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let content = self.bytes()?;
        let start = self.position() - content.len();
        read(content).map_err(|inner| Malformed {
            at: start + inner.at,
            ..inner
        })
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::bytes`], and for another length.
    pub fn bytes_exact<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let at = self.position();
        let value = self.bytes()?;
        value.try_into().map_err(|_| Malformed {
            at,
            rule: "byte string of another length",
        })
    }

    /// A definite-length UTF-8 text string of at most `max_len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] for another type, an indefinite length, a longer head, invalid UTF-8 or too
    /// many bytes.
    pub fn text(&mut self, max_len: usize) -> Result<&'a str, Malformed> {
        let at = self.position();
        let value = self.item("text expected", |d| d.str())?;
        self.shortest(at, value.len() as u64, value.len())?;
        self.demand(at, value.len() <= max_len, "text too long")?;
        Ok(value)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        self.item("boolean expected", |d| d.bool())
    }

    /// The tag `expected`; the tagged item follows.
    ///
    /// # Errors
    /// [`Malformed`] for another type, another tag or a longer form.
    pub fn tag(&mut self, expected: u64) -> Result<(), Malformed> {
        let at = self.position();
        let tag = self.item("tag expected", |d| d.tag())?.as_u64();
        self.shortest(at, tag, 0)?;
        self.demand(at, tag == expected, "another tag")
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are left over.
    pub fn finish(self) -> Result<(), Malformed> {
        let at = self.position();
        self.demand(at, at == self.decoder.input().len(), "trailing bytes")
    }

    fn item<T>(
        &mut self,
        rule: &'static str,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, decode::Error>,
    ) -> Result<T, Malformed> {
        let at = self.position();
        read(&mut self.decoder).map_err(|_| Malformed { at, rule })
    }

    /// Checks that the head of the item at `at`, carrying `argument` and followed by `content`
    /// bytes, took no more bytes than it had to (RFC 8949 section 4.2.1, first bullet).
    fn shortest(&self, at: usize, argument: u64, content: usize) -> Result<(), Malformed> {
        let head = match argument {
            0..=23 => 1,
            24..=0xff => 2,
            0x100..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        };
        self.demand(
            at,
            self.position() == at + head + content,
            "not the shortest form",
        )
    }

    fn demand(&self, at: usize, holds: bool, rule: &'static str) -> Result<(), Malformed> {
        if holds {
            Ok(())
        } else {
            Err(Malformed { at, rule })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule<T>(result: Result<T, Malformed>) -> &'static str {
        match result {
            Ok(_) => "accepted",
            Err(malformed) => malformed.rule,
        }
    }

    #[test]
    fn integers_longer_than_needed_are_refused() {
        for bytes in [
            &[0x18, 0x17][..],
            &[0x19, 0x00, 0xff],
            &[0x1a, 0x00, 0x00, 0xff, 0xff],
            &[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(rule(Reader::new(bytes).uint()), "not the shortest form");
        }
        assert_eq!(
            rule(Reader::new(&[0x38, 0x17]).int()),
            "not the shortest form"
        );
        assert_eq!(Reader::new(&[0x38, 0x18]).int(), Ok(-25));
        assert_eq!(
            Reader::new(&[0x3b, 0x7f, 255, 255, 255, 255, 255, 255, 255]).int(),
            Ok(i64::MIN)
        );
        assert_eq!(
            rule(Reader::new(&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0]).int()),
            "integer expected"
        );
    }

    #[test]
    fn indefinite_lengths_are_refused() {
        assert_eq!(
            rule(Reader::new(&[0x9f, 0xff]).array(0)),
            "indefinite length"
        );
        assert_eq!(rule(Reader::new(&[0xbf, 0xff]).map(0)), "indefinite length");
        assert_eq!(
            rule(Reader::new(&[0x5f, 0x41, 0, 0xff]).bytes()),
            "byte string expected"
        );
        assert_eq!(
            rule(Reader::new(&[0x7f, 0x61, 97, 0xff]).text(9)),
            "text expected"
        );
    }

    #[test]
    fn heads_longer_than_needed_are_refused() {
        assert_eq!(
            rule(Reader::new(&[0x58, 0x01, 0]).bytes()),
            "not the shortest form"
        );
        assert_eq!(
            rule(Reader::new(&[0x78, 0x01, 97]).text(9)),
            "not the shortest form"
        );
        assert_eq!(
            rule(Reader::new(&[0x98, 0x00]).array(0)),
            "not the shortest form"
        );
        assert_eq!(
            rule(Reader::new(&[0xb8, 0x00]).map(0)),
            "not the shortest form"
        );
        assert_eq!(
            rule(Reader::new(&[0xd8, 0x12, 0]).tag(18)),
            "not the shortest form"
        );
    }

    #[test]
    fn empty_short_and_trailing_bytes_are_refused() {
        assert_eq!(rule(Reader::new(&[]).uint()), "unsigned integer expected");
        assert_eq!(
            rule(Reader::new(&[0x42, 0]).bytes()),
            "byte string expected"
        );
        assert_eq!(rule(Reader::new(&[0]).finish()), "trailing bytes");
        // a length that no input can hold must not be trusted
        let huge = [0x5b, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(rule(Reader::new(&huge).bytes()), "byte string expected");
    }

    #[test]
    fn text_must_be_utf8_and_within_its_limit() {
        assert_eq!(rule(Reader::new(&[0x61, 0xff]).text(9)), "text expected");
        assert_eq!(rule(Reader::new(&[0x62, 97, 97]).text(1)), "text too long");
    }
}
