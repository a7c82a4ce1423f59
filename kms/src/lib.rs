#![doc = include_str!("../README.md")]

mod config;
mod credential;
pub mod daemon;
mod digest;
pub mod draft;
pub mod drill;
pub mod engine;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod generate;
mod keys;
mod module;
pub mod payload;
mod pool;
pub mod probe;
mod public_key;
mod records;
mod signer;
mod template;
mod token;
#[doc(hidden)]
pub mod unrecorded;
pub mod worker;
pub mod x509;

pub use config::{ConfigError, HeldPin, InvalidUri, Pin, PinSource, TokenConfig};
pub use credential::{
    CLOCK_TOLERANCE_S, ClaimsRefusal, IssuerKey, SignCredentialError, WINDOW_MAX_S,
};
pub use error::{CallError, ErrorClass};
pub use gate::{Health, Outage};
pub use generate::GenerateError;
pub use keys::{FindError, Key, KeyPair, Unfit};
pub use module::{FinalizeError, InitializeError, LoadError, Module, TokenSummary};
pub use obol_kms_client::SpkiId;
pub use pool::{PoolError, SESSIONS_MAX};
pub use public_key::{Curve, PublicKey, VerifiedSignature};
pub use records::RecordError;
pub use signer::{Backend, SignerError, TokenStatus};
pub use template::UnfitKey;
pub use token::{OpenError, SignError, Token};
