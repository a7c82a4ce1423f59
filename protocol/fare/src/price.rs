use core::fmt;

use obol_credential::UnixTime;

use crate::{FarePack, PackId, RuleId};

/// What a ride costs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fare {
    /// The fare in minor units of the pack's currency.
    pub amount_minor: u32,
    /// The rule that set it.
    pub rule: RuleId,
    /// The pack the rule stands in.
    pub pack_id: PackId,
}

/// Why a ride has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FareError {
    /// No rule for this class at this time: refusal code `FARE_UNKNOWN`.
    Unknown {
        /// The class asked for.
        class: u8,
        /// The time asked for.
        at: UnixTime,
    },
}

impl fmt::Display for FareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FareError::Unknown { class, at } = self;
        write!(f, "the fare pack has no fare for class {class} at {at}")
    }
}

impl core::error::Error for FareError {}

/// Prices a ride of a passenger of `class` that began `at`.
///
/// The terminal and the platform call this same function; a difference between the two is a
/// difference of packs.
///
/// # Errors
/// [`FareError::Unknown`] outside the pack's time or for a class without a rule.
pub fn price(pack: &FarePack, class: u8, at: UnixTime) -> Result<Fare, FareError> {
    let unknown = FareError::Unknown { class, at };
    if at < pack.valid_from() || pack.valid_until() < at {
        return Err(unknown);
    }
    let rule = pack
        .rules()
        .iter()
        .find(|rule| rule.class == class)
        .ok_or(unknown)?;
    Ok(Fare {
        amount_minor: rule.amount_minor,
        rule: rule.id,
        pack_id: pack.id(),
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Currency, FareRule};

    fn pack() -> FarePack {
        let rule = FareRule {
            id: RuleId(10),
            class: 1,
            amount_minor: 200,
        };
        let cny = Currency::new("CNY").unwrap();
        FarePack::new(cny, UnixTime(100), UnixTime(200), vec![rule]).unwrap()
    }

    #[test]
    fn a_known_class_pays_its_rule() {
        let fare = Fare {
            amount_minor: 200,
            rule: RuleId(10),
            pack_id: pack().id(),
        };
        assert_eq!(price(&pack(), 1, UnixTime(100)), Ok(fare));
        assert_eq!(price(&pack(), 1, UnixTime(200)), Ok(fare));
    }

    #[test]
    fn a_ride_outside_the_time_of_the_pack_has_no_price() {
        for at in [UnixTime(99), UnixTime(201)] {
            assert_eq!(
                price(&pack(), 1, at),
                Err(FareError::Unknown { class: 1, at })
            );
        }
    }

    #[test]
    fn a_class_without_a_rule_has_no_price() {
        let at = UnixTime(150);
        assert_eq!(
            price(&pack(), 2, at),
            Err(FareError::Unknown { class: 2, at })
        );
    }
}
