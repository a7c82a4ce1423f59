#![doc = include_str!("../README.md")]

mod approval;
mod class;
mod fault;
mod files;
mod limits;
mod machine;
mod registry;
mod roster;
mod settings;
mod spki;
mod statement;

pub use approval::{APPROVAL_LIFE_MAX_S, APPROVALS_MAX, Approval, ApprovalRefusal};
pub use class::{Algorithm, Class, PayloadType, UnknownName};
pub use fault::{Fault, OpenError};
pub use files::{Disk, Files};
pub use limits::{InvalidLimits, Limits, Rate};
pub use machine::{Act, Guard, Needs, RULES, Rule, STATES, State, Unpermitted, permits, rule};
pub use registry::{
    Alarm, AppliedChange, BackupError, CLIENT_MAX, CertifyError, Change, ChangeError, CountError,
    Counted, KEYS_MAX, KeyRecord, NewKey, NotSignable, REASON_MAX, RegisterError, Registry,
    RestoreError, Restored, Signable, certified_key,
};
pub use roster::{
    Ceremonies, CeremonyKind, CeremonyQuorum, InvalidRoster, Officer, OfficerKey, Quorum, Roster,
    RosterHash,
};
pub use settings::{InvalidSettings, Settings};
pub use spki::{NotASpkiId, SpkiId};
pub use statement::{RegistryId, STATEMENT_MAX, Statement};
