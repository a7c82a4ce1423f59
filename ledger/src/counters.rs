use crate::{AccountId, Amount, AmountOverflow, Side, Transfer};

/// The four counters of an account. They only grow; a balance is always computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counters {
    /// Sum of posted debits.
    pub posted_dr: Amount,
    /// Sum of posted credits.
    pub posted_cr: Amount,
    /// Debits that are held and not yet posted.
    pub pend_dr: Amount,
    /// Credits that are announced and not yet posted. They are never spendable.
    pub pend_cr: Amount,
}

/// What a set of transfers adds to one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Debits to add.
    pub dr: Amount,
    /// Credits to add.
    pub cr: Amount,
}

/// The lowest permitted balance of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Floor {
    /// No limit: clearing and control accounts.
    None,
    /// Not below this balance: zero, or minus the credit line.
    At(Amount),
}

/// Where an account stands after a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloorState {
    /// At or above its floor.
    Kept,
    /// Below its floor: the posting was forced, because the service was consumed.
    Forced,
}

/// A debit that was found to be covered. Only [`Counters::authorise`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorised(Amount);

impl Authorised {
    /// What was authorised.
    pub const fn amount(&self) -> Amount {
        self.0
    }
}

/// A debit that would take the account below its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{available} is available, {wanted} is wanted")]
pub struct BelowFloor {
    /// What could be spent; negative when the account is already below its floor.
    pub available: Amount,
    /// What was asked for.
    pub wanted: Amount,
}

/// Why a debit was not authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoriseRefused {
    /// Not covered.
    #[error(transparent)]
    BelowFloor(#[from] BelowFloor),
    /// The counters left 64 bits.
    #[error(transparent)]
    Overflow(#[from] AmountOverflow),
}

impl Delta {
    /// Nothing.
    pub const ZERO: Delta = Delta {
        dr: Amount::ZERO,
        cr: Amount::ZERO,
    };

    /// What `transfer` adds to `account`; nothing when it does not touch it.
    pub fn of(transfer: &Transfer, account: AccountId) -> Delta {
        let side = |id: AccountId| {
            if id == account {
                transfer.amount()
            } else {
                Amount::ZERO
            }
        };
        Delta {
            dr: side(transfer.dr()),
            cr: side(transfer.cr()),
        }
    }

    /// Both together.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a side does not fit.
    pub fn plus(self, other: Delta) -> Result<Delta, AmountOverflow> {
        Ok(Delta {
            dr: self.dr.plus(other.dr)?,
            cr: self.cr.plus(other.cr)?,
        })
    }
}

impl Counters {
    /// A fresh account.
    pub const ZERO: Counters = Counters {
        posted_dr: Amount::ZERO,
        posted_cr: Amount::ZERO,
        pend_dr: Amount::ZERO,
        pend_cr: Amount::ZERO,
    };

    /// The posted balance as seen from the account's normal side.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the counters differ by more than 64 bits hold.
    pub fn balance(&self, side: Side) -> Result<Amount, AmountOverflow> {
        match side {
            Side::Debit => self.posted_dr.minus(self.posted_cr),
            Side::Credit => self.posted_cr.minus(self.posted_dr),
        }
    }

    /// Asks, before service is given, whether a debit of a credit-side account is covered: posted
    /// balance less held debits must stay at or above the floor. It changes nothing.
    ///
    /// This is the rule for issuing a credential. It is *not* asked when an offline ride is
    /// posted: see [`Counters::post`].
    ///
    /// # Errors
    /// [`AuthoriseRefused`] when it is not covered.
    pub fn authorise(&self, floor: Floor, wanted: Amount) -> Result<Authorised, AuthoriseRefused> {
        if let Floor::At(floor) = floor {
            let available = self
                .balance(Side::Credit)?
                .minus(self.pend_dr)?
                .minus(floor)?;
            if available < wanted {
                return Err(BelowFloor { available, wanted }.into());
            }
        }
        Ok(Authorised(wanted))
    }

    /// Posts: always. A verified offline ride has been consumed, so the floor cannot refuse it;
    /// the answer says whether the account now stands below.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a counter leaves 64 bits.
    pub fn post(
        &self,
        delta: Delta,
        side: Side,
        floor: Floor,
    ) -> Result<(Counters, FloorState), AmountOverflow> {
        let after = Counters {
            posted_dr: self.posted_dr.plus(delta.dr)?,
            posted_cr: self.posted_cr.plus(delta.cr)?,
            ..*self
        };
        let state = match floor {
            Floor::At(floor) if after.balance(side)? < floor => FloorState::Forced,
            Floor::At(_) | Floor::None => FloorState::Kept,
        };
        Ok((after, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yuan(major: i64) -> Amount {
        Amount::from_minor(major * 100)
    }

    fn wallet(balance: i64, held: i64) -> Counters {
        Counters {
            posted_cr: yuan(balance),
            pend_dr: yuan(held),
            ..Counters::ZERO
        }
    }

    #[test]
    fn a_debit_is_authorised_down_to_the_floor_and_not_beyond() {
        let floor = Floor::At(yuan(-5));
        assert_eq!(
            wallet(10, 0).authorise(floor, yuan(15)),
            Ok(Authorised(yuan(15)))
        );
        let refused = BelowFloor {
            available: yuan(15),
            wanted: yuan(16),
        };
        assert_eq!(
            wallet(10, 0).authorise(floor, yuan(16)),
            Err(refused.into())
        );
    }

    #[test]
    fn held_money_is_not_available() {
        let refused = BelowFloor {
            available: yuan(2),
            wanted: yuan(3),
        };
        assert_eq!(
            wallet(10, 8).authorise(Floor::At(Amount::ZERO), yuan(3)),
            Err(refused.into())
        );
    }

    #[test]
    fn a_ride_posts_below_the_floor_and_is_flagged() {
        let ride = Delta {
            dr: yuan(3),
            cr: Amount::ZERO,
        };
        let floor = Floor::At(Amount::ZERO);
        let (after, state) = wallet(2, 0).post(ride, Side::Credit, floor).unwrap();
        assert_eq!(
            (after.balance(Side::Credit), state),
            (Ok(yuan(-1)), FloorState::Forced)
        );
        let (_, state) = wallet(3, 0).post(ride, Side::Credit, floor).unwrap();
        assert_eq!(state, FloorState::Kept);
    }
}
