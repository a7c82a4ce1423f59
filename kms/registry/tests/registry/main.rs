//! The registry on real files: states, approvals, races, crashes, backups.
#![allow(clippy::unwrap_used)] // everything here is a test

mod approvals;
mod backup;
mod crash;
mod making;
mod opening;
mod plans;
mod race;
mod states;
mod usage;
mod walks;
mod world;
