//! What a ride costs.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod codec;
mod journeys;
mod prices;
mod tariffs;
