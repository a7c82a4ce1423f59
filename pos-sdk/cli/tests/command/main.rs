//! `obol-pos` as it is shipped: real pictures, real files, real mutual TLS.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

#[path = "../../../tests/terminal/issuing.rs"]
mod issuing;
mod journal;
mod keeping;
mod online;
mod picture;
mod scan;
mod serve;
mod world;
