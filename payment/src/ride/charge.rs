use obol_credential::{Cti, UnixTime};
use obol_ledger::{AccountId, Amount, Bucket, Code, DayRule, Group, GroupKind, Transfer, Why};

use super::{RideKey, VerifiedRide};

/// What one ride moves in the books: a pure function of the ride and of who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The ride.
    pub key: RideKey,
    /// The wallet that pays, or suspense 9000.
    pub payer: AccountId,
    /// The operator that earns.
    pub operator: String,
    /// The fare, from 0 on.
    pub amount: Amount,
    /// When the terminal accepted the code.
    pub accepted_at: UnixTime,
}

impl Charge {
    /// The charge of a verified ride. `wallet` is the account its credential was issued to; a
    /// ride whose credential the platform never saw goes to suspense rather than being lost.
    #[must_use]
    pub fn of(ride: &VerifiedRide, wallet: Option<AccountId>) -> Charge {
        let operator = ride.operator().as_str().to_owned();
        let cti = ride.identity().cti;
        Charge {
            key: ride.key().clone(),
            payer: wallet.unwrap_or_else(|| unidentified(cti, &operator)),
            operator,
            amount: Amount::from_minor(i64::from(ride.fare().amount_minor)),
            accepted_at: ride.accepted_at(),
        }
    }

    /// `Dr payer / Cr 2100`. `None` for a free ride, which moves nothing.
    #[must_use]
    pub fn group(&self, day: DayRule) -> Option<Group> {
        self.posting(GroupKind::Ride, Why::Ride, self.payer, self.earner(), day)
    }

    /// Takes [`Charge::group`] back. It carries the ride's own time and day, so that ride and
    /// reversal cancel in every report of that period.
    #[must_use]
    pub fn reversal(&self, day: DayRule) -> Option<Group> {
        self.posting(
            GroupKind::RideReversal,
            Why::RideReversal,
            self.earner(),
            self.payer,
            day,
        )
    }

    /// The operator's account in the payer's bucket, so that the ride stays in one bucket.
    fn earner(&self) -> AccountId {
        AccountId::named(self.payer.bucket, Code::OperatorClearing, &self.operator)
    }

    fn posting(
        &self,
        kind: GroupKind,
        why: Why,
        dr: AccountId,
        cr: AccountId,
        day: DayRule,
    ) -> Option<Group> {
        if self.amount == Amount::ZERO {
            return None;
        }
        let at = self.accepted_at.0;
        let leg = Transfer::new(dr, cr, self.amount, why, at, day.day_of(at))
            .expect("a fare of 32 bits is within range, the accounts differ and share a bucket");
        let group = Group::new(kind, self.key.source_key(), vec![leg]);
        Some(group.expect("one leg makes a group"))
    }
}

fn unidentified(cti: Cti, operator: &str) -> AccountId {
    AccountId::named(Bucket::of_bytes(&cti.0), Code::UnidentifiedRide, operator)
}
