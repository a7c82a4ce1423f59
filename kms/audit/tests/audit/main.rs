//! The durable log: what it keeps, what it finds, when it stops.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod child;
mod crowd;
mod keeping;
mod power;
mod setting;
mod verification;
