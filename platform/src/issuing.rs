use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use obol_account::AccountNumber;

/// The accounts for which a credential is being issued: one at a time for each, so that the count
/// of live credentials, taken before the issuer is asked, holds until the new one is counted.
#[derive(Debug, Default)]
pub(crate) struct Issuing(Mutex<BTreeSet<AccountNumber>>);

/// An account's turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    issuing: Arc<Issuing>,
    number: AccountNumber,
}

impl Issuing {
    /// `None` while another credential of this account is being issued.
    pub(crate) fn begin(self: &Arc<Self>, number: AccountNumber) -> Option<Turn> {
        let issuing = Arc::clone(self);
        self.accounts()
            .insert(number)
            .then(|| Turn { issuing, number })
    }

    /// A set of numbers is whole whoever panicked while holding it.
    fn accounts(&self) -> std::sync::MutexGuard<'_, BTreeSet<AccountNumber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.issuing.accounts().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_turn_at_a_time() {
        let issuing = Arc::new(Issuing::default());
        let [one, two] = [65, 66].map(|number| AccountNumber::new(number).unwrap());
        let turn = issuing.begin(one).unwrap();
        assert!(issuing.begin(one).is_none());
        assert!(issuing.begin(two).is_some());
        drop(turn);
        assert!(issuing.begin(one).is_some());
    }
}
