use std::collections::BTreeMap;

use crate::{AccountId, Amount, AmountOverflow, Code, Counters};

/// The books on one page: what was debited and credited on each account of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    lines: Vec<TrialLine>,
    total_dr: Amount,
    total_cr: Amount,
}

/// One account of the chart, over all owners and buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialLine {
    /// The account.
    pub code: Code,
    /// All debits ever posted to it.
    pub posted_dr: Amount,
    /// All credits ever posted to it.
    pub posted_cr: Amount,
    /// The balance, as seen from its normal side.
    pub balance: Amount,
}

impl TrialBalance {
    /// Draws up the page from the counters of all accounts.
    ///
    /// # Errors
    /// [`AmountOverflow`] when a total does not fit.
    pub fn of(
        accounts: impl IntoIterator<Item = (AccountId, Counters)>,
    ) -> Result<TrialBalance, AmountOverflow> {
        let mut sums: BTreeMap<Code, Counters> = BTreeMap::new();
        for (id, counters) in accounts {
            let sum = sums.entry(id.code).or_insert(Counters::ZERO);
            sum.posted_dr = sum.posted_dr.plus(counters.posted_dr)?;
            sum.posted_cr = sum.posted_cr.plus(counters.posted_cr)?;
        }
        let (mut total_dr, mut total_cr) = (Amount::ZERO, Amount::ZERO);
        let mut lines = Vec::with_capacity(sums.len());
        for (code, sum) in sums {
            let Counters {
                posted_dr,
                posted_cr,
                ..
            } = sum;
            total_dr = total_dr.plus(posted_dr)?;
            total_cr = total_cr.plus(posted_cr)?;
            lines.push(TrialLine {
                code,
                posted_dr,
                posted_cr,
                balance: sum.balance(code.side())?,
            });
        }
        Ok(TrialBalance {
            lines,
            total_dr,
            total_cr,
        })
    }

    /// The lines, in the order of the chart. Accounts that were never touched are absent.
    pub fn lines(&self) -> &[TrialLine] {
        &self.lines
    }

    /// All debits.
    pub const fn total_dr(&self) -> Amount {
        self.total_dr
    }

    /// All credits.
    pub const fn total_cr(&self) -> Amount {
        self.total_cr
    }

    /// Debits less credits: zero in books that are whole.
    ///
    /// # Errors
    /// [`AmountOverflow`] when the difference does not fit.
    pub fn difference(&self) -> Result<Amount, AmountOverflow> {
        self.total_dr.minus(self.total_cr)
    }
}
