//! The registry and its officers as people run them, on a token made with SoftHSM's own tool.
#![allow(clippy::unwrap_used)] // everything here is a test

mod daemon;
mod life;
mod officers;
mod refusals;
mod uris;
mod world;
