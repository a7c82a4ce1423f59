//! The journal on a disk whose power can be cut and whose syncs can be left out or fail.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod cuts;
mod faults;
#[path = "../terminal/issuing.rs"]
mod issuing;
mod scale;
mod setting;
