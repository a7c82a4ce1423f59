use std::collections::BTreeMap;

use minicbor::Encoder;
use obol_credential::Malformed;
use obol_credential::strict::Reader;

use crate::approval::CeremonyId;
use crate::hash::Hash;

/// Most ceremonies that a token remembers.
const RECORDS_MAX: u64 = 4_096;

/// The ceremonies that a token remembers: each one's id, and the hash of its first event. Nobody
/// can take one out of a token that keeps its records as demanded, so that this is the token's own
/// log of ceremonies, from its initialisation on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRecords(BTreeMap<[u8; 16], Hash>);

/// Why what a token remembers before and after a ceremony does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsRefused {
    /// Not deterministic CBOR of this form.
    #[error("the records are malformed: {0}")]
    Malformed(Malformed),
    /// The ceremony stands in the token before it began.
    #[error("ceremony {0} is recorded before it began")]
    Before(CeremonyId),
    /// The ceremony does not stand in the token after it.
    #[error("ceremony {0} is not recorded after it, or with another first event")]
    NotAfter(CeremonyId),
    /// What the token remembered, it does not any more.
    #[error("the record of ceremony {0} is gone, or another")]
    Gone(CeremonyId),
}

impl From<Malformed> for RecordsRefused {
    fn from(fault: Malformed) -> RecordsRefused {
        RecordsRefused::Malformed(fault)
    }
}

impl TokenRecords {
    /// Puts one down; `None` if the token remembers that ceremony already, or too many.
    #[must_use]
    pub fn add(&mut self, id: CeremonyId, opening: Hash) -> Option<()> {
        let room = (self.0.len() as u64) < RECORDS_MAX;
        (room && self.0.insert(id.0, opening).is_none()).then_some(())
    }

    /// How many it remembers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it remembers none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Deterministic CBOR: `[* [id bstr, opening bstr]]`, sorted by id.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        sink.array(self.0.len() as u64)
            .expect("a vector takes what is written");
        for (id, opening) in &self.0 {
            sink.array(2)
                .and_then(|sink| sink.bytes(id))
                .and_then(|sink| sink.bytes(&opening.0))
                .expect("a vector takes what is written");
        }
        sink.into_writer()
    }

    /// Reads records.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<TokenRecords, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.array_up_to(RECORDS_MAX)?;
        let mut records = BTreeMap::new();
        for _ in 0..count {
            let at = reader.position();
            reader.array(2)?;
            let id = *reader.bytes_exact::<16>()?;
            if records
                .last_key_value()
                .is_some_and(|(last, _)| *last >= id)
            {
                let rule = "records out of order";
                return Err(Malformed { at, rule });
            }
            records.insert(id, Hash(*reader.bytes_exact()?));
        }
        reader.finish()?;
        Ok(TokenRecords(records))
    }

    /// Checks that `after` is what a token with these records remembers after the ceremony `id`
    /// that began with `opening`, and returns what other ceremonies it had meanwhile.
    ///
    /// # Errors
    /// [`RecordsRefused`].
    pub fn followed_by(
        &self,
        after: &TokenRecords,
        id: CeremonyId,
        opening: Hash,
    ) -> Result<Vec<CeremonyId>, RecordsRefused> {
        if self.0.contains_key(&id.0) {
            return Err(RecordsRefused::Before(id));
        }
        if after.0.get(&id.0) != Some(&opening) {
            return Err(RecordsRefused::NotAfter(id));
        }
        let mut kept = self.0.iter();
        if let Some((gone, _)) = kept.find(|(id, opening)| after.0.get(*id) != Some(opening)) {
            return Err(RecordsRefused::Gone(CeremonyId(*gone)));
        }
        let others = after.0.keys();
        let others = others.filter(|other| **other != id.0 && !self.0.contains_key(*other));
        Ok(others.copied().map(CeremonyId).collect())
    }
}
