#![doc = include_str!("../README.md")]

mod backoff;
mod belief;
mod clock;
mod folder;
mod invitation;
mod journal;
mod ports;
mod provisioning;
mod rules;
mod speed;
mod terminal;
mod trust;
mod upload;
mod wording;

pub use backoff::Backoff;
pub use belief::Belief;
pub use clock::{ClockCheck, ClockFloor, JOURNAL_TRUST_S};
pub use folder::{FolderError, TerminalFolder};
pub use invitation::{EnrolmentCode, INVITATION_MAX, Invitation, InvitationError};
pub use journal::{
    AcknowledgementRefused, Durable, Exported, Granted, Journal, JournalError, JournalFile,
    KeyFault, REFUSALS_MAX, Recorded, Repaired, SealError, SealedSegment, Sealing, Seals,
    SegmentKey, StoredClock, StoredRecord, StoredRefusal, Uses, export, repair,
};
pub use obol_credential::{RefusalCode, UnixTime};
pub use obol_fare::{Currency, FarePack, Zone};
pub use obol_tap::{
    Acknowledgement, Epoch, HEALTH_HEADER, HEALTH_MAX, Health, SEGMENT_MAX, SpkiId, TerminalName,
    TrustHealth,
};
pub use obol_trust::tuf;
pub use obol_trust::{StatusList, StatusListId, SuspendedKeys};
pub use obol_verifier_sdk::{Operator, Passback, Refusal, WithinInterval, x509::Root};
pub use ports::{Answer, Clock, Door, Opening, Scanner};
pub use provisioning::{PROVISIONING_MAX, Provisioning, ProvisioningError, Repository};
pub use rules::{ALL_CLASSES, CLASS_COUNT, DEGRADED_CAP_MINOR, INTERVAL_MAX_S, Rules, Velocity};
pub use terminal::{Counts, Decision, TEXT_MAX, Terminal};
pub use trust::{
    AcceptedSet, BUNDLE_PATH, DEGRADED_S, FILES_BYTES_MAX, FILES_MAX, FileRequest, Freshness,
    Periods, Received, Refreshes, SUSPENDED_PATH, Shelf, Standing, Trust, TrustFolder,
    TrustRefused, TrustSource, TrustState, TrustStorage, TrustUpdater, UpdateError,
    status_list_path,
};
pub use upload::{KeyUnusable, SegmentSigner, Uplink, UploadError, Uploaded, upload};
pub use wording::{Language, Wording, wording};
