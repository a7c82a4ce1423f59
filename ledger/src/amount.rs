use core::fmt;

/// An amount of money in minor units (fen for CNY), signed.
///
/// The scale is two decimal digits and fixed for the whole book. All arithmetic is checked: an
/// amount that would leave `i64` is an error, never a wrapped number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// A sum left the range of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} and {right} minor units cannot be combined in 64 bits")]
pub struct AmountOverflow {
    left: i64,
    right: i64,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// An amount of `minor` minor units.
    pub const fn from_minor(minor: i64) -> Amount {
        Amount(minor)
    }

    /// The number of minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the sum does not fit.
    pub fn plus(self, other: Amount) -> Result<Amount, AmountOverflow> {
        let overflow = AmountOverflow {
            left: self.0,
            right: other.0,
        };
        self.0.checked_add(other.0).map(Amount).ok_or(overflow)
    }

    /// `self - other`.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the difference does not fit.
    pub fn minus(self, other: Amount) -> Result<Amount, AmountOverflow> {
        let overflow = AmountOverflow {
            left: self.0,
            right: other.0,
        };
        self.0.checked_sub(other.0).map(Amount).ok_or(overflow)
    }
}

impl fmt::Display for Amount {
    /// Major units with two decimals: `-12.05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_prints_in_major_units_with_two_decimals() {
        let shown =
            [5000, -5, 0, -1205, i64::MIN].map(|minor| Amount::from_minor(minor).to_string());
        assert_eq!(
            shown,
            ["50.00", "-0.05", "0.00", "-12.05", "-92233720368547758.08"]
        );
    }

    #[test]
    fn a_sum_that_leaves_64_bits_is_an_error() {
        let most = Amount::from_minor(i64::MAX);
        let one = Amount::from_minor(1);
        assert_eq!(
            most.plus(one),
            Err(AmountOverflow {
                left: i64::MAX,
                right: 1
            })
        );
        let least = Amount::from_minor(i64::MIN);
        assert_eq!(
            least.minus(one),
            Err(AmountOverflow {
                left: i64::MIN,
                right: 1
            })
        );
    }
}
