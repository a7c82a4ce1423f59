#![doc = include_str!("../README.md")]

mod api;
mod certificate;
mod clients;
mod config;
mod issuance;
mod issuer;
mod register;

pub use api::router;
pub use certificate::{CertificateError, IssuerCertificate};
pub use clients::{Clients, Registration};
pub use config::{Config, ConfigError, TlsFiles};
pub use issuance::{Asked, FareTemplate, IssueRefused, POSSESSION_SKEW_S, Policy, Proven, prove};
pub use issuer::{Issuer, StartError};
pub use register::{Register, RegisterError, Reservation};
