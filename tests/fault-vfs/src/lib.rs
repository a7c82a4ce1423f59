#![doc = include_str!("../README.md")]

mod cut;
mod fs;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use cut::Loss;
pub use fs::{FaultFile, FaultFs};
