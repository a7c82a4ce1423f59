//! The publisher with software keys in the place of the key management, its folder read by clients.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod clients;
mod officers;
mod power;
mod publishing;
mod tough;
