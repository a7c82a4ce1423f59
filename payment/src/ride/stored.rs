use obol_credential::{Kid, Presentation, UnixTime};
use obol_tap::TapRecord;

use super::{Intake, RideKey, RideRefusal, VerifiedRide, intake};

/// A record that lies in the inbox, refused when it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Which line of which journal.
    pub key: RideKey,
    /// The record as signed.
    pub bytes: Vec<u8>,
    /// When it arrived, by our clock.
    pub received_at: UnixTime,
}

/// A stored record and what the platform believes of it now. Only [`Reexamined::of`] makes one.
#[derive(Clone, Debug)]
pub struct Reexamined {
    record: StoredRecord,
    ride: Result<VerifiedRide, RideRefusal>,
}

impl Reexamined {
    /// Examines a stored record like a new one, with the keys and fare packs of today. Its age is
    /// that of its arrival: what came in time stays in time.
    #[must_use]
    pub fn of(record: StoredRecord, rules: &Intake<'_>) -> Reexamined {
        let received_at = record.received_at;
        let rules = Intake {
            received_at,
            ..*rules
        };
        let ride = intake(&record.key, &record.bytes, &rules);
        Reexamined { record, ride }
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &StoredRecord {
        &self.record
    }

    /// What the platform believes of it.
    ///
    /// # Errors
    /// Why it is still not charged.
    pub const fn ride(&self) -> Result<&VerifiedRide, &RideRefusal> {
        self.ride.as_ref()
    }
}

/// The issuer key that a record's code names; `None` when the record does not parse. Nothing is
/// verified.
#[must_use]
pub fn kid_named_by(record: &[u8]) -> Option<Kid> {
    let record = TapRecord::decode(record).ok()?;
    let presentation = Presentation::decode(&record.presentation).ok()?;
    Some(presentation.credential().kid())
}
