use std::cmp::Ordering;

use obol_credential::{Cti, UnixTime};
use obol_ledger::{
    AccountId, Amount, Bucket, Code, DayRule, Group, GroupKind, SourceKey, Transfer, Why,
};

use super::{RideKey, VerifiedRide};

/// Whom one ride concerns in the books: a pure function of the ride and of who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The ride.
    pub key: RideKey,
    /// The wallet that pays, or suspense 9000.
    pub payer: AccountId,
    /// The operator that earns.
    pub operator: String,
    /// When the terminal accepted the code.
    pub accepted_at: UnixTime,
}

/// What the books hold of a ride: how much is charged, after how many postings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Charged, from 0 on.
    pub amount: Amount,
    /// Postings so far.
    pub postings: u32,
}

impl Posted {
    /// Nothing yet.
    pub const NOTHING: Posted = Posted {
        amount: Amount::ZERO,
        postings: 0,
    };
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
            accepted_at: ride.accepted_at(),
        }
    }

    /// What brings the books from `posted` to `amount`: `Dr payer / Cr 2100` for more, the other
    /// way round for less, `None` when they say so already. Each posting carries the ride's own
    /// time and day, so that what is taken back cancels in every report of that period.
    #[must_use]
    pub fn posting(&self, posted: Posted, amount: Amount, day: DayRule) -> Option<Group> {
        let (payer, earner) = (self.payer, self.earner());
        let (dr, cr, difference) = match amount.cmp(&posted.amount) {
            Ordering::Equal => return None,
            Ordering::Greater => (payer, earner, amount.minus(posted.amount)),
            Ordering::Less => (earner, payer, posted.amount.minus(amount)),
        };
        let difference = difference.expect("fares of 32 bits differ by less than 64");
        let (kind, why) = match posted.postings {
            0 => (GroupKind::Ride, Why::Ride),
            _ => (GroupKind::RideAdjustment, Why::RideAdjustment),
        };
        let at = self.accepted_at.0;
        let leg = Transfer::new(dr, cr, difference, why, at, day.day_of(at))
            .expect("a fare of 32 bits is within range, the accounts differ and share a bucket");
        let group = Group::new(kind, self.source_key(posted.postings), vec![leg]);
        Some(group.expect("one leg makes a group"))
    }

    /// The ride's own key, and behind it the number of the adjustment.
    fn source_key(&self, postings: u32) -> SourceKey {
        match postings {
            0 => self.key.source_key(),
            number => SourceKey::new(format!("{}/{number}", self.key))
                .expect("at most 80 characters of a-z, 0-9, - and /"),
        }
    }

    /// The operator's account in the payer's bucket, so that the ride stays in one bucket.
    fn earner(&self) -> AccountId {
        AccountId::named(self.payer.bucket, Code::OperatorClearing, &self.operator)
    }
}

fn unidentified(cti: Cti, operator: &str) -> AccountId {
    AccountId::named(Bucket::of_bytes(&cti.0), Code::UnidentifiedRide, operator)
}
