use obol_credential::UnixTime;

use crate::{ClassSet, Fare, Quote, RuleId};

/// What a ride costs that continues a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferFare {
    /// Nothing.
    Free,
    /// What its own fare exceeds the fares paid on the journey so far.
    Difference,
    /// Its own fare less this many minor units, at least nothing.
    Discount(u32),
}

impl TransferFare {
    /// Number in a fare pack, and the discount; 0 where there is none.
    #[must_use]
    pub const fn numbers(self) -> (u8, u32) {
        match self {
            TransferFare::Free => (0, 0),
            TransferFare::Difference => (1, 0),
            TransferFare::Discount(minor) => (2, minor),
        }
    }

    /// The fare with these numbers; `None` for others than [`TransferFare::numbers`] gives.
    #[must_use]
    pub const fn from_numbers(kind: u8, discount_minor: u32) -> Option<TransferFare> {
        match (kind, discount_minor) {
            (0, 0) => Some(TransferFare::Free),
            (1, 0) => Some(TransferFare::Difference),
            (2, minor) => Some(TransferFare::Discount(minor)),
            _ => None,
        }
    }

    /// Whether `charged` can be the fare of a ride with this own fare, on some journey.
    #[must_use]
    pub const fn may_be(self, charged_minor: u32, own_minor: u32) -> bool {
        match self {
            TransferFare::Free => charged_minor == 0,
            TransferFare::Difference => charged_minor <= own_minor,
            TransferFare::Discount(minor) => charged_minor == own_minor.saturating_sub(minor),
        }
    }
}

/// How riders transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Number of the rule, unique among all rules of the pack.
    pub id: RuleId,
    /// How long after the journey's first ride, in seconds, the last one included:
    /// 1..=[`Transfer::WITHIN_MAX_S`].
    pub within_s: u32,
    /// How many rides may follow the first, 1..=255.
    pub most: u8,
    /// What they cost.
    pub fare: TransferFare,
}

impl Transfer {
    /// The longest window, in seconds: four hours.
    pub const WITHIN_MAX_S: u32 = 4 * 3_600;
}

/// How riders of some classes transfer. A class has one such rule at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferRule {
    /// Who transfers so.
    pub classes: ClassSet,
    /// How.
    pub transfer: Transfer,
}

/// A rider's journey so far: its first ride and those that transferred from it.
///
/// Put together from a rider's rides in the order of their times, from any ride on that lies more
/// than [`Transfer::WITHIN_MAX_S`] behind the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    began_at: UnixTime,
    paid_minor: u64,
    transfers: u32,
}

impl Journey {
    /// The fare of the rider's next ride, and the journey it is part of: the one so far when the
    /// ride transfers, a new one otherwise. The fare is at most the ride's own.
    ///
    /// A ride for a companion is no part of a journey: it pays its own fare, and is not asked
    /// about here.
    //= docs/spec/fare-pack.md#journeys
    #[must_use]
    pub fn ride(so_far: Option<Journey>, ride: &Quote) -> (Fare, Journey) {
        match (so_far, ride.transfer) {
            (Some(journey), Some(transfer)) if journey.permits(transfer, ride.at) => {
                journey.continued(transfer, ride)
            }
            _ => {
                let journey = Journey {
                    began_at: ride.at,
                    paid_minor: ride.fare.amount_minor.into(),
                    transfers: 0,
                };
                (ride.fare, journey)
            }
        }
    }

    fn permits(self, transfer: Transfer, at: UnixTime) -> bool {
        let since = at.since(self.began_at);
        (0..=i64::from(transfer.within_s)).contains(&since)
            && self.transfers < u32::from(transfer.most)
    }

    fn continued(self, transfer: Transfer, ride: &Quote) -> (Fare, Journey) {
        let own = ride.fare.amount_minor;
        let amount_minor = match transfer.fare {
            TransferFare::Free => 0,
            TransferFare::Difference => {
                own.saturating_sub(u32::try_from(self.paid_minor).unwrap_or(u32::MAX))
            }
            TransferFare::Discount(minor) => own.saturating_sub(minor),
        };
        let fare = Fare {
            amount_minor,
            rule: transfer.id,
            ..ride.fare
        };
        let journey = Journey {
            paid_minor: self.paid_minor + u64::from(amount_minor),
            transfers: self.transfers + 1,
            ..self
        };
        (fare, journey)
    }
}
