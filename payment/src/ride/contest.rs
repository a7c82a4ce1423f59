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
    /// 1: the same signed code was used twice.
    SecondUse = 1,
    /// 2: two codes of one credential carry the same counter, as a copied key would make them.
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

/// A ride that arrives, among the earlier arrivals it may quarrel with.
///
/// A ride is charged when it is the first of its code identity *and* the first of its counter.
/// That is a property of the set of rides, so any order of arrival ends in the same charges.
#[derive(Clone, Debug)]
pub struct Contest<'a> {
    /// The ride that arrives.
    pub arriving: &'a RideOrder,
    /// The first known ride with the same code identity.
    pub same_code: Option<&'a RideOrder>,
    /// The first known ride with the same counter of the same credential.
    pub same_counter: Option<&'a RideOrder>,
}

impl<'a> Contest<'a> {
    /// Whether the arriving ride is charged.
    #[must_use]
    pub fn is_charged(&self) -> bool {
        self.firsts().all(|first| self.arriving < first)
    }

    /// The earlier arrivals that come later in the order: if they were charged, they are no
    /// longer.
    pub fn displaced(&self) -> impl Iterator<Item = &'a RideOrder> {
        let (arriving, twice) = (self.arriving, self.same_code == self.same_counter);
        self.firsts()
            .take(if twice { 1 } else { 2 })
            .filter(move |first| arriving < first)
    }

    fn firsts(&self) -> impl Iterator<Item = &'a RideOrder> {
        [self.same_code, self.same_counter].into_iter().flatten()
    }
}

/// Which of these rides are charged, said once for the whole set: the definition that
/// [`Contest`] follows arrival by arrival. A ride is (code identity, counter, order).
pub fn charged<'a>(
    rides: impl IntoIterator<Item = (CodeIdentity, u32, &'a RideOrder)> + Clone,
) -> impl Iterator<Item = &'a RideOrder> {
    let mut first_of_code: BTreeMap<CodeIdentity, &RideOrder> = BTreeMap::new();
    let mut first_of_counter = BTreeMap::new();
    for (code, counter, order) in rides.clone() {
        let first = first_of_code.entry(code).or_insert(order);
        *first = order.min(first);
        let first = first_of_counter
            .entry((code.kid, code.cti, counter))
            .or_insert(order);
        *first = order.min(first);
    }
    rides.into_iter().filter_map(move |(code, counter, order)| {
        let first = first_of_code[&code] == order
            && first_of_counter[&(code.kid, code.cti, counter)] == order;
        first.then_some(order)
    })
}
