#![doc = include_str!("../README.md")]

pub mod channel;
pub mod order;
pub mod ride;

pub use obol_credential::{Cti, Kid, Nonce, UnixTime};
pub use obol_fare::{Currency, Fare, PackId, Quote, RuleId, Transfer, TransferFare};
pub use obol_verifier_sdk::CodeIdentity;
