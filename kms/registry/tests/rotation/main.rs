//! Plans of rotations: what reads, whom a plan strands, and that arithmetic and trial agree.
#![allow(clippy::unwrap_used)] // everything here is a test

mod brute;
mod findings;
mod forms;
