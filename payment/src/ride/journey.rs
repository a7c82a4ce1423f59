use obol_credential::UnixTime;
use obol_fare::{Fare, Journey, Quote, Transfer};

/// Whom a ride carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The account's own rider.
    Rider,
    /// Somebody the rider pays for: the ride pays its own fare and is part of no journey.
    Companion,
}

impl Party {
    /// From the flag of a record or a row: not 0 for a companion.
    #[must_use]
    pub const fn of(flag: u8) -> Party {
        match flag {
            0 => Party::Rider,
            _ => Party::Companion,
        }
    }
}

/// A charged ride of one payer, as far as its price depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The ride's own fare, and how its class transfers.
    pub quote: Quote,
    /// Whom it carried.
    pub party: Party,
}

/// Rides of one payer further apart than this many seconds do not matter to each other's fares.
pub const APART_S: u32 = Transfer::WITHIN_MAX_S;

/// What each ride costs, given all charged rides of its payer, in the order of
/// [`super::RideOrder`], from one on that lies more than [`APART_S`] behind the ride before it.
///
/// A pure function of the set of rides: whoever uploads first, last or twice changes nothing.
pub fn fares<'a>(legs: impl IntoIterator<Item = &'a Leg>) -> impl Iterator<Item = Fare> {
    let mut journey: Option<Journey> = None;
    legs.into_iter().map(move |leg| match leg.party {
        Party::Companion => leg.quote.fare,
        Party::Rider => {
            let (fare, after) = Journey::ride(journey, &leg.quote);
            journey = Some(after);
            fare
        }
    })
}

/// Whether a ride at `later` cannot depend on rides up to `earlier`.
#[must_use]
pub fn are_apart(earlier: UnixTime, later: UnixTime) -> bool {
    later.since(earlier) > i64::from(APART_S)
}
