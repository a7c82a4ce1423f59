//! The platform over real TLS: phones with their proofs, the bank, terminals, and an issuer that
//! a test can stop.

#![allow(clippy::unwrap_used, reason = "helpers of tests panic with the test")]

mod authorities;
mod bank;
mod blocked_keys;
mod bus;
mod commands;
mod doors;
mod issuer;
mod money;
mod phone;
mod phones;
mod rides;
mod town;
mod witness;
