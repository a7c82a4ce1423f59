//! Ceremonies through the shipped binary, on SoftHSM, with people at a pipe.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod around;
mod audit;
mod input;
mod interruption;
mod plans;
mod refusals;
mod sites;
mod world;
