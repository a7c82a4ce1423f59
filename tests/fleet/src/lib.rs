#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used)] // a test that is long enough to be a program

mod chance;
#[cfg(test)]
mod drills;
#[path = "../../../pos-sdk/tests/terminal/issuing.rs"]
mod issuing;
mod link;
#[path = "../../../issuer/tests/publisher/officers.rs"]
mod officers;
mod publications;
mod report;
mod simulation;
mod terminal;

pub use report::{Group, Report, Row};
pub use simulation::{Course, FLEET_MAX, ONLINE_WITHIN_S, Scenario};
