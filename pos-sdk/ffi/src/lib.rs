#![doc = include_str!("../README.md")]

mod code;
mod context;
mod exports;
mod guard;
mod memory;
mod ports;
mod types;

pub use code::ObolPosCode;
pub use exports::*;
pub use memory::{OBOL_POS_ALIGNMENT, ObolPos};
pub use ports::{ObolPosFile, ObolPosSigner, ObolPosSource};
pub use types::{
    OBOL_POS_HEALTH_SIZE, OBOL_POS_RULE_SIZE, OBOL_POS_SEGMENT_MAX, OBOL_POS_TEXT_MAX,
    ObolPosDecision, ObolPosStatus,
};
