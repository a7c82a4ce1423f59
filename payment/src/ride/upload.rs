use obol_credential::UnixTime;
use obol_tap::{Epoch, Head, TerminalName, VerifiedSegment};

use super::{Intake, RideKey, RideRefusal, VerifiedRide, intake};

/// A verified segment of a terminal's journal, each record examined and ready to be stored.
/// Only [`Upload::examine`] makes one.
#[derive(Clone, Debug)]
pub struct Upload {
    terminal: TerminalName,
    epoch: Epoch,
    received_at: UnixTime,
    entries: Vec<Entry>,
}

/// One record of an upload.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which line of which journal.
    pub key: RideKey,
    /// The record as signed.
    pub bytes: Vec<u8>,
    /// The journal's chain before the record.
    pub previous: Head,
    /// The chain behind it.
    pub head: Head,
    /// What the platform believes of it.
    pub ride: Result<VerifiedRide, RideRefusal>,
}

impl Upload {
    /// Examines every record of a segment. The segment's signature, chain and sequence hold
    /// already; that its key is the terminal's registered one is the caller's to compare.
    #[must_use]
    pub fn examine(segment: &VerifiedSegment, rules: &Intake<'_>) -> Upload {
        let (terminal, epoch) = (segment.terminal().clone(), segment.epoch());
        let mut previous = segment.previous_head();
        let mut entries = Vec::with_capacity(segment.records().len());
        for (seq, record) in (segment.first_seq()..).zip(segment.records()) {
            let key = RideKey {
                terminal: terminal.clone(),
                epoch,
                seq,
            };
            let ride = intake(&key, &record.bytes, rules);
            let (bytes, head) = (record.bytes.clone(), record.head);
            entries.push(Entry {
                key,
                bytes,
                previous,
                head,
                ride,
            });
            previous = record.head;
        }
        Upload {
            terminal,
            epoch,
            received_at: rules.received_at,
            entries,
        }
    }

    /// The terminal.
    #[must_use]
    pub const fn terminal(&self) -> &TerminalName {
        &self.terminal
    }

    /// The journal.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When it arrived, by our clock.
    #[must_use]
    pub const fn received_at(&self) -> UnixTime {
        self.received_at
    }

    /// The records, by ascending sequence number, without gaps.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
