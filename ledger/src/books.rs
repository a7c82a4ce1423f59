use std::collections::BTreeMap;

use crate::{
    AccountId, Amount, AmountOverflow, Bucket, Counters, Delta, Floor, FloorState, Group, GroupId,
    TrialBalance,
};

/// The rules of the books in memory: what `store` does with SQL, in the fewest lines that can be
/// read and believed. Tests compare the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    accounts: BTreeMap<AccountId, Counters>,
    floors: BTreeMap<AccountId, Amount>,
    groups: BTreeMap<(Bucket, GroupId), [u8; 32]>,
}

/// What a posting did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posting {
    /// Posted now. The accounts listed stand below their floors.
    Posted {
        /// Accounts below their floors after this posting.
        forced: Vec<AccountId>,
    },
    /// The same group had been posted before; nothing changed.
    Duplicate,
}

/// Why a group was not posted. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostRefused {
    /// Another group with the same kind and business key stands in the books.
    #[error("{0} was posted before with another content")]
    Conflict(String),
    /// A counter would leave 64 bits.
    #[error(transparent)]
    Overflow(#[from] AmountOverflow),
}

impl Books {
    /// Empty books.
    pub fn new() -> Books {
        Books::default()
    }

    /// Sets the lowest balance that `account` may be *authorised* down to.
    pub fn set_floor(&mut self, account: AccountId, floor: Amount) {
        self.floors.insert(account, floor);
    }

    /// Posts a group: all its transfers, once.
    ///
    /// # Errors
    /// [`PostRefused`]; the books are unchanged.
    pub fn post(&mut self, group: &Group) -> Result<Posting, PostRefused> {
        let key = (group.bucket(), group.id());
        match self.groups.get(&key) {
            Some(hash) if *hash == group.hash() => return Ok(Posting::Duplicate),
            Some(_) => return Err(PostRefused::Conflict(group.source_key().to_string())),
            None => {}
        }
        let mut forced = Vec::new();
        let mut after = BTreeMap::new();
        for (account, delta) in deltas(group)? {
            let (counters, state) =
                self.counters(account)
                    .post(delta, account.code.side(), self.floor(account))?;
            after.insert(account, counters);
            if state == FloorState::Forced {
                forced.push(account);
            }
        }
        self.accounts.append(&mut after);
        self.groups.insert(key, group.hash());
        Ok(Posting::Posted { forced })
    }

    /// The counters of an account; zero for one that was never touched.
    pub fn counters(&self, account: AccountId) -> Counters {
        self.accounts
            .get(&account)
            .copied()
            .unwrap_or(Counters::ZERO)
    }

    /// The floor of an account.
    pub fn floor(&self, account: AccountId) -> Floor {
        self.floors
            .get(&account)
            .map_or(Floor::None, |floor| Floor::At(*floor))
    }

    /// The trial balance.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a total does not fit.
    pub fn trial_balance(&self) -> Result<TrialBalance, AmountOverflow> {
        TrialBalance::of(self.accounts.iter().map(|(id, counters)| (*id, *counters)))
    }
}

/// What a group adds to each account it touches.
fn deltas(group: &Group) -> Result<BTreeMap<AccountId, Delta>, AmountOverflow> {
    let mut deltas: BTreeMap<AccountId, Delta> = BTreeMap::new();
    for leg in group.legs() {
        for account in [leg.dr(), leg.cr()] {
            let delta = deltas.entry(account).or_insert(Delta::ZERO);
            *delta = delta.plus(Delta::of(leg, account))?;
        }
    }
    Ok(deltas)
}
