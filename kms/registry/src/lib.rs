#![doc = include_str!("../README.md")]

mod approval;
mod class;
mod clearance;
mod fault;
mod files;
mod limits;
mod machine;
mod registry;
mod roster;
pub mod rotation;
mod settings;
mod spki;
mod statement;

pub use approval::{APPROVAL_LIFE_MAX_S, APPROVALS_MAX, Approval, ApprovalRefusal};
pub use class::{Algorithm, Class, PayloadType, UnknownName};
pub use clearance::{Clearance, Cleared, NotCleared};
pub use fault::{Fault, OpenError};
pub use files::{Disk, Files};
pub use limits::{InvalidLimits, Limits, Rate};
pub use machine::{Act, Guard, Needs, RULES, Rule, STATES, State, Unpermitted, permits, rule};
pub use registry::{
    Alarm, AppliedChange, BackupError, CLIENT_MAX, CertifyError, Change, ChangeError, CountError,
    Counted, FLEET_AGE_MAX_S, KEYS_MAX, KeptClearance, KeyRecord, NewKey, NotSignable, PlanRefusal,
    REASON_MAX, RegisterError, Registry, RestoreError, Restored, Signable, certificate_ends,
    certified_key,
};
pub use roster::{
    Ceremonies, CeremonyKind, CeremonyQuorum, InvalidRoster, Officer, OfficerKey, Quorum, Roster,
    RosterHash,
};
pub use settings::{InvalidSettings, Settings};
pub use spki::{NotASpkiId, SpkiId};
pub use statement::{RegistryId, STATEMENT_MAX, Statement};
