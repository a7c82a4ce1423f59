#![doc = include_str!("../README.md")]

mod cut;
mod fs;

pub use cut::Loss;
pub use fs::{FaultFile, FaultFs};
