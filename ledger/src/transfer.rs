use crate::{AccountId, Amount, BusinessDay};

/// The largest single transfer, in minor units: one thousand million major units.
///
/// It leaves room for ninety million of the largest transfers in one counter.
pub const MAX_TRANSFER_MINOR: i64 = 100_000_000_000;
const _: () = assert!(i64::MAX / MAX_TRANSFER_MINOR > 90_000_000);

/// Why money moved. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Why {
    /// 1: a passenger paid a recharge order through a channel.
    Recharge = 1,
    /// 2: a payment arrived that no order could take.
    UnmatchedReceipt = 2,
    /// 10: a ride was charged.
    Ride = 10,
    /// 11: a charge was taken back, because an earlier use of the same code came to light.
    RideReversal = 11,
    /// 12: what a ride is charged changed, because another ride of the account or another use of
    /// the same code came to light.
    RideAdjustment = 12,
}

impl Why {
    /// All reasons.
    pub const ALL: [Why; 5] = [
        Why::Recharge,
        Why::UnmatchedReceipt,
        Why::Ride,
        Why::RideReversal,
        Why::RideAdjustment,
    ];

    /// The stored number.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The reason with this number.
    pub fn from_number(number: u16) -> Option<Why> {
        Why::ALL.into_iter().find(|why| why.number() == number)
    }

    /// The word for statements and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Recharge => "recharge",
            Why::UnmatchedReceipt => "unmatched-receipt",
            Why::Ride => "ride",
            Why::RideReversal => "ride-reversal",
            Why::RideAdjustment => "ride-adjustment",
        }
    }
}

/// One movement of money: debits exactly one account and credits exactly one other.
///
/// Immutable. A correction is another transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    dr: AccountId,
    cr: AccountId,
    amount: Amount,
    why: Why,
    event_at: u32,
    business_day: BusinessDay,
}

/// Why a transfer cannot exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefused {
    /// Zero, negative or beyond [`MAX_TRANSFER_MINOR`].
    #[error("a transfer moves 1 to {MAX_TRANSFER_MINOR} minor units, not {0}")]
    AmountOutOfRange(i64),
    /// The same account on both sides.
    #[error("account {0} cannot pay itself")]
    OneAccount(AccountId),
    /// The accounts lie in different buckets.
    #[error("accounts {0} and {1} lie in different buckets")]
    TwoBuckets(AccountId, AccountId),
}

impl Transfer {
    /// Debits `dr` and credits `cr`. `event_at` is in seconds since 1970, UTC.
    ///
    /// # Errors
    /// [`TransferRefused`] when amount or accounts break a rule of the books.
    pub fn new(
        dr: AccountId,
        cr: AccountId,
        amount: Amount,
        why: Why,
        event_at: u32,
        business_day: BusinessDay,
    ) -> Result<Transfer, TransferRefused> {
        if !(1..=MAX_TRANSFER_MINOR).contains(&amount.minor()) {
            return Err(TransferRefused::AmountOutOfRange(amount.minor()));
        }
        if dr == cr {
            return Err(TransferRefused::OneAccount(dr));
        }
        if dr.bucket != cr.bucket {
            return Err(TransferRefused::TwoBuckets(dr, cr));
        }
        Ok(Transfer {
            dr,
            cr,
            amount,
            why,
            event_at,
            business_day,
        })
    }

    /// The account that is debited.
    pub const fn dr(&self) -> AccountId {
        self.dr
    }

    /// The account that is credited.
    pub const fn cr(&self) -> AccountId {
        self.cr
    }

    /// How much, 1..=[`MAX_TRANSFER_MINOR`].
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// Why.
    pub const fn why(&self) -> Why {
        self.why
    }

    /// When it happened, seconds since 1970, UTC.
    pub const fn event_at(&self) -> u32 {
        self.event_at
    }

    /// The day it belongs to.
    pub const fn business_day(&self) -> BusinessDay {
        self.business_day
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Code};

    fn transfer(dr: AccountId, cr: AccountId, minor: i64) -> Result<Transfer, TransferRefused> {
        let day = BusinessDay::from_number(1);
        Transfer::new(dr, cr, Amount::from_minor(minor), Why::Ride, 86_400, day)
    }

    #[test]
    fn a_transfer_moves_a_positive_amount_between_two_accounts_of_one_bucket() {
        let wallet = AccountId::wallet(65);
        let operator = AccountId::named(wallet.bucket, Code::OperatorClearing, "ferry");
        let elsewhere = AccountId {
            bucket: Bucket::of_number(2),
            ..operator
        };
        assert!(transfer(wallet, operator, 1).is_ok());
        for minor in [0, -1, MAX_TRANSFER_MINOR + 1] {
            assert_eq!(
                transfer(wallet, operator, minor),
                Err(TransferRefused::AmountOutOfRange(minor))
            );
        }
        assert_eq!(
            transfer(wallet, wallet, 1),
            Err(TransferRefused::OneAccount(wallet))
        );
        assert_eq!(
            transfer(wallet, elsewhere, 1),
            Err(TransferRefused::TwoBuckets(wallet, elsewhere))
        );
    }

    #[test]
    fn every_reason_is_found_again_by_its_number() {
        for why in Why::ALL {
            assert_eq!(Why::from_number(why.number()), Some(why));
        }
        assert_eq!(Why::from_number(3), None);
    }
}
