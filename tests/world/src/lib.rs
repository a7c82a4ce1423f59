//! One builder of worlds for the end-to-end tests and the demo: real tokens, real services, real
//! terminals, made and driven through the shipped binaries alone, each as its own process.

#![allow(
    clippy::disallowed_methods,
    reason = "a world is a shell: it passes PATH and SOFTHSM2_CONF on"
)]

mod forger;
mod passenger;
mod process;
mod services;
mod terminal;
mod tokens;
mod world;

pub use forger::forge;
pub use passenger::{Passenger, StatementLine};
pub use process::{Ran, Service, Tool, WorldError};
pub use terminal::{Network, Scan, Terminal};
pub use world::{Ports, World};
