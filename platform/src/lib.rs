#![doc = include_str!("../README.md")]

mod app;
mod bank;
mod blocked_keys;
mod commanding;
mod config;
mod doors;
mod enrolments;
mod fleet;
mod issuing;
mod packs;
mod phone;
mod publishing;
mod reexamination;
mod terminal;
mod trust;
mod witness;
mod witnessing;

pub use app::{App, StartError, issuers};
pub use bank::NOTIFY_PATH;
pub use blocked_keys::{NotBlocked, NotHeard, block_key, hear_of_keys_in_background, parse_kid};
pub use commanding::{NotGiven, for_issuers, give_commands_in_background};
pub use config::{
    BankConfig, Config, ConfigError, IssuerConfig, TlsFiles, WitnessConfig, WitnessedLog,
    compile_tariff,
};
pub use doors::Doors;
pub use fleet::{Fleet, NAMED_MAX};
pub use packs::PacksError;
pub use phone::passenger_router;
pub use publishing::{Pushed, publishing};
pub use reexamination::{Reexamination, Scope, reexamine_in_background};
pub use terminal::terminal_router;
pub use trust::TrustError;
pub use witness::{LogWitness, WitnessError};
