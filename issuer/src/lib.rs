#![doc = include_str!("../README.md")]

mod admission;
mod api;
mod certificate;
mod clients;
mod config;
mod in_flight;
mod issuance;
mod issuer;
mod metrics;
pub mod publisher;
mod register;
mod shards;

pub use api::{BATCH_MAX, openapi, router};
pub use certificate::{CertificateError, IssuerCertificate};
pub use clients::{Client, Clients, Registration};
pub use config::{Config, ConfigError, TlsFiles};
pub use issuance::{Asked, FareTemplate, IssueRefused, POSSESSION_SKEW_S, Policy, Proven, prove};
pub use issuer::{IssuedCredential, Issuer, Request, StartError};
pub use register::{
    Change, ChangeRefused, CredentialRecord, DeniedIndexes, Handle, Register, RegisterError,
    RequestKey, Standing, StandingRecord, Target,
};
