#![doc = include_str!("../README.md")]

mod journal;
mod provisioning;
mod terminal;
mod trust;
mod upload;

pub use journal::{
    AcknowledgementRefused, Durable, Granted, Journal, JournalError, JournalFile, Recorded,
    StoredRecord,
};
pub use obol_credential::{RefusalCode, UnixTime};
pub use obol_fare::{Currency, FarePack};
pub use obol_tap::{Acknowledgement, Epoch, TerminalName};
pub use obol_trust::{StatusList, StatusListId, SuspendedKeys};
pub use obol_verifier_sdk::{Operator, Passback, Refusal, WithinInterval, x509::Root};
pub use provisioning::{PROVISIONING_MAX, Provisioning, ProvisioningError};
pub use terminal::{ALL_CLASSES, Counts, Decision, Rules, Terminal};
pub use trust::{DEGRADED_S, Freshness, Periods, Standing, Trust, TrustRefused, TrustState};
pub use upload::{KeyUnusable, SegmentSigner, Uplink, UploadError, Uploaded, upload};
