#![doc = include_str!("../README.md")]

pub mod dpop;
mod key;
mod passenger;

pub use key::{EnrolledKey, InvalidKey, Thumbprint};
pub use passenger::{AccountNumber, AccountNumberOutOfRange, Passenger, Status, SubjectHandle};
