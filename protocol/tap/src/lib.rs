#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod acknowledgement;
mod chain;
mod envelope;
mod health;
mod hex;
mod key;
mod name;
mod record;
mod segment;

pub use acknowledgement::{Acknowledgement, RecordAcknowledgement, RecordStatus};
pub use chain::{Epoch, Head};
pub use health::{HEALTH_HEADER, HEALTH_MAX, Health, HealthRefused, TrustHealth};
pub use key::{SpkiId, TerminalKey};
pub use name::{TERMINAL_NAME_MAX, TerminalName};
pub use record::{
    FLAG_COMPANION, FLAG_DEGRADED, FareCharged, PackId, RECORD_MAX, TapRecord, ZONE_MAX,
};
pub use segment::{
    SEGMENT_MAX, SEGMENT_RECORDS_MAX, SegmentRecord, SegmentRefusal, UnsignedSegment,
    VerifiedSegment,
};
