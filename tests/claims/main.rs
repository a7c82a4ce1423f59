//! What the house claims, from one end to the other: each test is a world of its own, made of the
//! shipped binaries, and its name is the claim.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod access;
mod caller;
mod ceremonies;
mod codes;
mod crashes;
mod demo;
mod drills;
mod fares;
mod interop;
mod journal;
mod keys;
mod line;
mod load;
mod money;
mod mtls;
mod nodes;
mod notices;
mod online_keys;
mod phones;
mod proofs;
mod proxy;
mod signing;
mod stage;
mod tokens;
mod typed;
mod uplink;
mod witness;

#[path = "../runbook_page.rs"]
mod runbook_page;
#[path = "../trust_entry.rs"]
mod trust_entry;
