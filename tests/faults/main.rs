//! Devices that fail, under the shipped daemon: each test has a token, a daemon and a worker of its
//! own, and breaks what is below them.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod clock;
mod crashes;
mod deadlines;
mod device;
mod pins;
mod recovery;
mod remote;
mod signatures;
mod tokens;
