//! What must hold in the store: real SQLite files, real signatures.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

mod bench;
mod commands;
mod crash;
mod fleet;
mod journeys;
mod key_blocks;
mod passengers;
mod permutations;
mod recharges;
mod refused_rides;
mod rides;
mod statements;
