#![doc = include_str!("../README.md")]
#![no_std]

mod base45;
mod claims;
mod cose;
mod encoded;
mod name;
pub mod possession;
mod presentation;
mod refusal;
pub mod strict;
mod text;
mod time;

pub use base45::Base45Error;
pub use claims::{CLAIMS_MAX, Claims, Cti, DeviceKey, FareTerms, LIFE_MAX_S, STATUS_EPOCH_S};
pub use cose::{
    Algorithm, CREDENTIAL_MAX, CREDENTIAL_SIGNATURE_INPUT_MAX, Credential, Kid,
    assemble_credential, credential_signature_input,
};
pub use encoded::Encoded;
pub use name::{NAME_MAX, is_name};
pub use presentation::{
    AUDIENCE, Dynamic, Nonce, PRESENTATION_MAX, PRESENTATION_SIGNATURE_INPUT_MAX, Presentation,
    assemble_presentation, presentation_signature_input,
};
pub use refusal::RefusalCode;
pub use strict::Malformed;
pub use text::{PREFIX, TEXT_MAX, from_text, to_text};
pub use time::UnixTime;
