//! One builder of worlds for the end-to-end tests and the demo: real tokens, real services, real
//! terminals, made and driven through the shipped binaries alone, each as its own process.

#![allow(
    clippy::disallowed_methods,
    reason = "a world is a shell: it passes PATH and SOFTHSM2_CONF on"
)]

mod ceremonies;
mod enrolment;
mod forger;
mod mirror;
mod passenger;
mod people;
mod ports;
mod process;
mod registry;
mod scanner;
mod services;
mod sites;
mod terminal;
mod tokens;
mod trust;
mod world;

pub use ceremonies::{Audit, Ceremony};
pub use forger::forge;
pub use passenger::{Order, Passenger, StatementLine};
pub use ports::Ports;
pub use process::{Ran, Service, Tool, WorldError, binaries};
pub use registry::LOG_ORIGIN;
pub use scanner::Scanner;
pub use sites::Sites;
pub use terminal::{Network, Scan, Terminal};
pub use world::World;
