//! Private readers as plain functions, for fuzzing; no part of the crate's contract.

pub use crate::worker::fuzzing::{from_worker, to_worker};
