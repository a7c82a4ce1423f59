#![doc = include_str!("../README.md")]

mod bank;
mod delivery;
mod key;

pub use bank::{Bank, Repeat, router};
pub use delivery::Notice;
pub use key::{BankKey, KeyError, KeyFiles};
