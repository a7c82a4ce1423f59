#![doc = include_str!("../README.md")]

mod control;
mod faults;
mod module;
mod values;

pub use control::{Action, Calls, Control, Refused, Rule};
pub use faults::{CONTROL, Faults, MODULE, shim};
pub use values::{named, value_of};
