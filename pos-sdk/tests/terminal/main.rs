//! A terminal with real files, real signatures and real crashes.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod crash;
mod engine;
mod fares;
mod issuing;
mod journal;
mod link;
mod repair;
mod scan;
mod seals;
mod speed;
mod trust;
mod upload;
mod world;
