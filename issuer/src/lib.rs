#![doc = include_str!("../README.md")]

mod access;
mod admission;
mod api;
mod availability;
mod certificate;
mod clients;
mod config;
mod enrolment;
mod est;
mod expiry;
#[doc(hidden)]
pub mod fuzzing;
mod in_flight;
mod issuance;
mod issuer;
mod metrics;
pub mod publisher;
mod register;
mod shards;

pub use access::{AccessCa, AccessError};
pub use api::{BATCH_MAX, openapi, router};
pub use certificate::{CertificateError, IssuerCertificate};
pub use clients::{Client, Clients, Registration};
pub use config::{Config, ConfigError, EnrolmentConfig, TerminalsConfig, TlsFiles};
pub use enrolment::{CODE_LIFE_S, Code, EnrolmentRequest, RequestRefused};
pub use est::est_router;
pub use issuance::{Asked, FareTemplate, IssueRefused, POSSESSION_SKEW_S, Policy, Proven, prove};
pub use issuer::{IssuedCredential, Issuer, Reopened, Request, StartError};
pub use publisher::read_kid;
pub use register::{
    BackupError, Change, ChangeRefused, CodeVerdict, CredentialRecord, DeniedIndexes, Examined,
    Handle, Member, Register, RegisterError, RequestKey, Restore, RestorePoint, Standing,
    StandingRecord, Target, back_up, examine, restore,
};
