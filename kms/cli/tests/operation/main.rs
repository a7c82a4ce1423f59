//! What operators do with tokens, waivers and copies, through the shipped command.
#![allow(clippy::unwrap_used)] // everything here is a test

mod backup;
mod drill;
mod probe;
mod waiver;
mod world;
