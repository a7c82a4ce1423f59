#![doc = include_str!("../README.md")]

mod client;
mod connection;
mod spki;
pub mod wire;

pub use client::{KeyInfo, KmsClient, KmsError, VerifiedSignature};
pub use spki::{ParseSpkiIdError, SpkiId};
