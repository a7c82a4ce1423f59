#![doc = include_str!("../README.md")]

mod app;
mod bank;
mod config;
mod packs;
mod phone;
mod terminal;
mod trust;

pub use app::{App, StartError};
pub use bank::NOTIFY_PATH;
pub use config::{BankConfig, Config, ConfigError, IssuerConfig, TlsFiles};
pub use packs::PacksError;
pub use phone::passenger_router;
pub use terminal::terminal_router;
pub use trust::TrustError;
