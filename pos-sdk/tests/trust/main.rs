//! The updater against a repository in memory: bad links, power cuts, files that lie.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

#[path = "../terminal/issuing.rs"]
mod issuing;
mod power;
mod repository;
mod update;
