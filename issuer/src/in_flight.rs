//! Which named requests are under way.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashSet<[u8; 16]>>);

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'a> {
    all: &'a InFlight,
    id: [u8; 16],
}

impl InFlight {
    /// `None` when the same request is under way already.
    pub(crate) fn begin(&self, id: [u8; 16]) -> Option<UnderWay<'_>> {
        let new = self.lock().insert(id);
        new.then(|| UnderWay { all: self, id })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<[u8; 16]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_under_way_once_until_it_ends() {
        let all = InFlight::default();
        let first = all.begin([1; 16]).unwrap();
        assert!(all.begin([1; 16]).is_none());
        assert!(all.begin([2; 16]).is_some());
        drop(first);
        assert!(all.begin([1; 16]).is_some());
    }
}
