use std::fmt;
use std::str::FromStr;

/// An amount of money, kept in minor units and written with two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount(i64);

impl Amount {
    pub(crate) fn of_minor(minor: i64) -> Self {
        Self(minor)
    }

    pub(crate) fn minor(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let minor = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", minor / 100, minor % 100))
    }
}

/// Two decimals always: `5000` could mean either 5000.00 or 50.00, so it means neither.
impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "an amount has two decimals and no sign, like 50.00";
        let (whole, cents) = text.split_once('.').ok_or(FORM)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(cents) || cents.len() != 2 {
            return Err(FORM);
        }
        let number = |part: &str| part.parse::<i64>().map_err(|_| "the amount is too large");
        let minor = number(whole)?.checked_mul(100).zip(number(cents).ok());
        let minor = minor.and_then(|(whole, cents)| whole.checked_add(cents));
        minor.map(Self).ok_or("the amount is too large")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_it_is_read() {
        for (text, minor) in [
            ("0.01", 1),
            ("50.00", 5_000),
            ("92233720368547758.07", i64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Amount(minor)));
            assert_eq!(Amount(minor).to_string(), text);
        }
        assert_eq!(Amount(-205).to_string(), "-2.05");
    }

    #[test]
    fn an_amount_that_could_mean_two_things_is_refused() {
        for text in [
            "5000", "50.0", "50.000", "-1.00", "+1.00", ".50", "1.", "1,00", "", "1e2.00",
        ] {
            assert_eq!(
                text.parse::<Amount>(),
                Err("an amount has two decimals and no sign, like 50.00"),
                "{text}"
            );
        }
        assert_eq!(
            "92233720368547758.08".parse::<Amount>(),
            Err("the amount is too large")
        );
    }
}
