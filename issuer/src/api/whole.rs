//! Whole numbers as JSON Schema understands them: `7`, `7.0` and `7e0` are the same.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// What JSON carries without loss everywhere (RFC 8259 section 6).
const MAX: u64 = (1 << 53) - 1;

/// Below this, what is read from a number with a point is that number or has a fraction: the reader
/// of JSON may be wrong by some units in the last place, which must never make another whole number.
const POINTED_BELOW: f64 = (1_u64 << 49) as f64;

/// From 0 to 2^53 - 1; with a point or an exponent, below 2^49.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole(pub(super) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Whole;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a whole number from 0 to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
        match number {
            0..=MAX => Ok(Whole(number)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
        if number.fract() == 0.0 && (0.0..POINTED_BELOW).contains(&number) {
            return Ok(Whole(number as u64));
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_fraction_is_whole_however_it_is_written() {
        for text in ["7", "7.0", "7e0", "0.7e1", "70e-1"] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(7));
        }
        let largest = (1 << 49) - 1;
        for (text, number) in [
            ("0", 0),
            ("-0.0", 0),
            ("562949953421311.0", largest),
            ("9007199254740991", MAX),
        ] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), Whole(number));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_was_seen() {
        let refused = |text| serde_json::from_str::<Whole>(text).unwrap_err().to_string();
        for (text, seen) in [
            (
                "9007199254740992",
                "invalid value: integer `9007199254740992`",
            ),
            (
                "9007199254740991.0",
                "invalid value: floating point `900719925474099",
            ),
            ("562949953421312.0", "invalid value: floating point `5629"),
            ("1e300", "invalid value: floating point `1e"),
            ("0.5", "invalid value: floating point `0.5`"),
            ("-1", "invalid type: integer `-1`"),
            ("-1.0", "invalid value: floating point `-1.0`"),
            ("\"7\"", "invalid type: string \"7\""),
            ("true", "invalid type: boolean `true`"),
        ] {
            let said = refused(text);
            assert!(said.starts_with(seen), "{said}");
            assert!(
                said.contains("a whole number from 0 to 9007199254740991"),
                "{said}"
            );
        }
    }
}
