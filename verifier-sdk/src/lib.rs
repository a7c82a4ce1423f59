#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "x509")]
extern crate std;

mod cache;
mod point;
mod prepared;
mod replay;
mod trust;
mod verify;
#[cfg(feature = "x509")]
pub mod x509;

pub use cache::{CredentialCache, Place};
pub use obol_credential::{RefusalCode, UnixTime};
pub use point::Backend;
pub use prepared::{Multiple, TableRoom, TableSize, Tables};
pub use replay::{GuardFull, Novelty, Passback, ReplayGuard, SILENCE_S, WithinInterval};
pub use trust::{IssuerKey, KeyRefused, KeyStatus, Operator, TrustStore, Validity};
pub use verify::{CodeIdentity, Refusal, SKEW_S, Verified, Verifier, WINDOW_MAX_S};
