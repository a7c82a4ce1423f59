#![doc = include_str!("../README.md")]

mod code;
mod context;
mod exports;
mod guard;
mod memory;
mod result;

pub use code::ObolCode;
pub use exports::*;
pub use memory::{OBOL_VERIFIER_ALIGNMENT, ObolLimits, ObolVerifier};
pub use result::{OBOL_PRESENTATION_MAX, OBOL_RULE_SIZE, ObolKey, ObolResult};
