//! What the key management promises, on real SoftHSM tokens.
#![allow(clippy::unwrap_used)] // everything here is a test

mod certificates;
mod credentials;
mod daemon;
mod keys;
mod load;
mod opening;
mod registered;
mod world;
