//! What a terminal that stays switched on computes once and uses all day.

use obol_verifier_sdk::{
    CredentialCache, IssuerKey, Multiple, Place, TableRoom, TableSize, TrustStore,
};

/// Credentials whose issuer signature is remembered: 128 KiB.
const CACHED: usize = 4096;

/// Tables of the issuer keys, if they were asked for, and the credentials seen last. Neither says
/// that a key is believed: the keys themselves are given anew at each scan.
#[derive(Debug)]
pub(crate) struct Speed {
    tables: Option<TableRoom<Vec<Multiple>>>,
    cache: CredentialCache<Vec<Place>>,
}

impl Speed {
    pub(crate) fn new() -> Self {
        Self {
            tables: None,
            cache: CredentialCache::new(vec![Place::EMPTY; CACHED]),
        }
    }

    /// Computes the tables of `keys`.
    pub(crate) fn prepare(&mut self, keys: &[IssuerKey]) {
        let size = TableSize::default();
        let mut room = TableRoom::new(size, vec![Multiple::EMPTY; size.room_for(keys.len())]);
        room.build(keys);
        self.tables = Some(room);
    }

    /// Other keys are believed: what was computed from those before is forgotten, and tables are
    /// computed again where there were any.
    pub(crate) fn keys_changed(&mut self, keys: &[IssuerKey]) {
        self.cache.clear();
        if self.is_prepared() {
            self.prepare(keys);
        }
    }

    pub(crate) fn is_prepared(&self) -> bool {
        self.tables.is_some()
    }

    pub(crate) fn table_count(&self) -> usize {
        let tables = self.tables.as_ref();
        tables.map_or(0, |room| room.tables().table_count())
    }

    /// The trust store of `keys`, and the cache to verify with.
    pub(crate) fn trust<'a>(
        &'a mut self,
        keys: &'a [IssuerKey],
    ) -> (TrustStore<'a>, &'a mut CredentialCache<Vec<Place>>) {
        let trust = TrustStore::new(keys);
        let trust = match &self.tables {
            Some(room) => trust.with_tables(room.tables()),
            None => trust,
        };
        (trust, &mut self.cache)
    }
}
