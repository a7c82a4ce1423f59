#![doc = include_str!("../README.md")]

mod code;
mod dpop;
mod held;
mod key;
mod platform;
mod wallet;

pub use code::{BoardingCode, QUIET_ZONE, Scale, Symbol, VERSION_MAX};
pub use dpop::{Request, proof};
pub use held::{HeldCredential, PresentError};
pub use key::{Key, KeyError};
pub use platform::{FareApplied, Line, Order, Passenger, Platform, PlatformError, Statement};
pub use wallet::{Wallet, WalletError};
