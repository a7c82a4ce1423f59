//! The client's workflow and the attacks of the specification's section 1.5.2, one by one.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod attacks;
mod forms;
mod repository;
mod told;
mod workflow;
