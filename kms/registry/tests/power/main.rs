//! The registry on a disk whose power can be cut and whose syncs can be left out or fail.

#![allow(clippy::unwrap_used)] // everything here is a test

mod copies;
mod cuts;
mod faults;
#[path = "../registry/making.rs"]
mod making;
mod setting;
