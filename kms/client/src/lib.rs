#![doc = include_str!("../README.md")]

mod client;
mod connection;
mod names;
mod spki;
mod verified;
pub mod wire;

pub use client::{DEADLINE_MAX, KeyInfo, KmsClient, KmsError, LogProof, Status};
pub use names::{KeyClass, KeyState, PayloadType};
pub use spki::{ParseSpkiIdError, SpkiId};
pub use verified::{SignedCredential, VerifiedSignature};
