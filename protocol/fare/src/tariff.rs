//! From the tariff an operator writes (TOML) to the fare pack a terminal reads.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use obol_credential::UnixTime;
use serde::Deserialize;

use crate::{Currency, FarePack, FareRule, PackRefused, RuleId};

/// The longest tariff file, in bytes.
pub const TARIFF_MAX: usize = 64 * 1024;

/// The tariff as the file says it: policies/tariffs/flat.toml is its manual.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTariff {
    currency: String,
    valid_from: u32,
    valid_until: u32,
    #[serde(rename = "flat")]
    flats: Vec<RawFlat>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFlat {
    rule: u16,
    class: u8,
    amount_minor: u32,
}

/// Why a tariff makes no fare pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TariffError {
    /// Longer than [`TARIFF_MAX`].
    TooLong(usize),
    /// Not TOML of the expected shape.
    Syntax(String),
    /// The currency is not three capital letters.
    Currency(String),
    /// The rules contradict each other.
    Pack(PackRefused),
}

impl fmt::Display for TariffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TariffError::TooLong(bytes) => {
                write!(f, "a tariff has at most {TARIFF_MAX} bytes, not {bytes}")
            }
            TariffError::Syntax(reason) => write!(f, "not a tariff: {}", reason.trim_end()),
            TariffError::Currency(code) => {
                write!(f, "currency {code:?} is not three capital letters")
            }
            TariffError::Pack(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for TariffError {}

/// Compiles a tariff into a fare pack. Rules may stand in any order.
///
/// # Errors
/// [`TariffError`] with the value that is wrong.
pub fn compile(toml: &str) -> Result<FarePack, TariffError> {
    if toml.len() > TARIFF_MAX {
        return Err(TariffError::TooLong(toml.len()));
    }
    let raw: RawTariff =
        toml::from_str(toml).map_err(|error| TariffError::Syntax(error.to_string()))?;
    let currency = Currency::new(&raw.currency).ok_or(TariffError::Currency(raw.currency))?;
    let mut rules: Vec<FareRule> = raw
        .flats
        .iter()
        .map(|flat| FareRule {
            id: RuleId(flat.rule),
            class: flat.class,
            amount_minor: flat.amount_minor,
        })
        .collect();
    rules.sort_by_key(|rule| rule.class);
    FarePack::new(
        currency,
        UnixTime(raw.valid_from),
        UnixTime(raw.valid_until),
        rules,
    )
    .map_err(TariffError::Pack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price;

    const FLAT: &str = include_str!("../../../policies/tariffs/flat.toml");

    #[test]
    fn the_tariff_that_is_shipped_compiles() {
        let pack = compile(FLAT).unwrap();
        let fare = price(&pack, 1, pack.valid_from()).unwrap();
        assert_eq!((fare.amount_minor, fare.rule), (200, RuleId(10)));
    }

    #[test]
    fn an_unknown_word_in_a_tariff_is_refused() {
        let refused = compile(&alloc::format!("discount = 3\n{FLAT}"));
        let Err(TariffError::Syntax(reason)) = refused else {
            panic!("{refused:?}")
        };
        assert!(reason.contains("unknown field `discount`"), "{reason}");
    }

    #[test]
    fn two_fares_for_one_class_are_refused() {
        let twice = alloc::format!("{FLAT}\n[[flat]]\nrule = 99\nclass = 1\namount_minor = 1\n");
        assert_eq!(
            compile(&twice),
            Err(TariffError::Pack(PackRefused::ClassOrder(1)))
        );
    }

    #[test]
    fn a_currency_in_small_letters_is_refused() {
        let small = FLAT.replace("CNY", "cny");
        assert_eq!(compile(&small), Err(TariffError::Currency("cny".into())));
    }
}
