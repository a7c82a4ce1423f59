use std::collections::BTreeMap;

use obol_credential::UnixTime;
use obol_verifier_sdk::CodeIdentity;

use super::RideKey;

/// Where a ride stands among the rides that contest one code. The first is charged.
///
/// The order comes from what the ride says, never from when it arrived.
pub type RideOrder = (UnixTime, RideKey);

/// How a code was abused. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fraud {
    /// 1: the same signed code was used twice. It is charged once: whoever filmed the phone's
    /// screen rode, and its owner signed one code.
    SecondUse = 1,
    /// 2: two codes of one credential carry the same counter, as a copied key would make them.
    /// Each is charged, since the phone's key signed each.
    CounterReuse = 2,
}

impl Fraud {
    /// Both.
    pub const ALL: [Fraud; 2] = [Fraud::SecondUse, Fraud::CounterReuse];

    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The fraud with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Fraud> {
        Fraud::ALL
            .into_iter()
            .find(|fraud| fraud.number() == number)
    }
}

/// Whether a use of a code pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charging {
    /// It is the first use of its code.
    Charged,
    /// Another ride with the same code comes first.
    Uncharged,
}

/// A ride that arrives, and the earlier arrival it may quarrel with.
///
/// A ride is charged when it is the first of its code identity. That is a property of the set of
/// rides, so any order of arrival ends in the same charges.
#[derive(Clone, Debug)]
pub struct Contest<'a> {
    /// The ride that arrives.
    pub arriving: &'a RideOrder,
    /// The first known ride with the same code identity.
    pub first_known: Option<&'a RideOrder>,
}

impl<'a> Contest<'a> {
    /// Whether the arriving ride is charged.
    #[must_use]
    pub fn charging(&self) -> Charging {
        if self.first_known.is_none_or(|first| self.arriving < first) {
            Charging::Charged
        } else {
            Charging::Uncharged
        }
    }

    /// The earlier arrival that comes later in the order: it was charged and is no longer.
    #[must_use]
    pub fn displaced(&self) -> Option<&'a RideOrder> {
        self.first_known.filter(|first| self.arriving < *first)
    }
}

/// Which of these rides are charged, said once for the whole set: the definition that
/// [`Contest`] follows arrival by arrival.
pub fn charged<'a>(
    rides: impl IntoIterator<Item = (CodeIdentity, &'a RideOrder)>,
) -> impl Iterator<Item = &'a RideOrder> {
    let mut first_of_code: BTreeMap<CodeIdentity, &RideOrder> = BTreeMap::new();
    for (code, order) in rides {
        let first = first_of_code.entry(code).or_insert(order);
        *first = order.min(first);
    }
    first_of_code.into_values()
}

#[cfg(test)]
mod tests {
    use obol_credential::{Cti, Kid, Nonce};
    use obol_tap::{Epoch, TerminalName};
    use proptest::prelude::*;

    use super::*;

    fn ride() -> impl Strategy<Value = (CodeIdentity, RideOrder)> {
        (0..3u8, 0..4u32, 0..3u8, 1..40u64).prop_map(|(nonce, at, terminal, seq)| {
            let code = CodeIdentity {
                kid: Kid([1; 4]),
                cti: Cti([2; 8]),
                issued_at: UnixTime(100),
                nonce: Nonce([nonce; 4]),
            };
            let terminal = TerminalName::new(&format!("bus-{terminal}")).unwrap();
            let epoch = Epoch([0; 8]);
            let key = RideKey {
                terminal,
                epoch,
                seq,
            };
            (code, (UnixTime(100 + at), key))
        })
    }

    proptest! {
        #[test]
        fn arrivals_one_by_one_charge_whom_the_definition_names(
            rides in proptest::collection::vec(ride(), 0..20)
        ) {
            let mut paying: BTreeMap<CodeIdentity, RideOrder> = BTreeMap::new();
            for (code, arriving) in &rides {
                let first_known = paying.get(code).cloned();
                let contest = Contest { arriving, first_known: first_known.as_ref() };
                let charging = contest.charging();
                prop_assert_eq!(contest.displaced().is_some(),
                    charging == Charging::Charged && first_known.is_some());
                if charging == Charging::Charged {
                    paying.insert(*code, arriving.clone());
                }
            }
            let all = rides.iter().map(|(code, order)| (*code, order));
            let expected: Vec<_> = charged(all).cloned().collect();
            prop_assert_eq!(paying.into_values().collect::<Vec<_>>(), expected);
        }
    }
}
