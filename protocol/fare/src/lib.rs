#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(feature = "tariff")]
extern crate std;

mod codec;
mod pack;
mod price;
#[cfg(feature = "tariff")]
pub mod tariff;

pub use codec::{FORMAT, PACK_MAX};
pub use pack::{Currency, FarePack, FareRule, PackId, PackRefused, RULES_MAX, RuleId};
pub use price::{Fare, FareError, price};
