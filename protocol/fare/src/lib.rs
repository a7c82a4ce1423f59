#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(feature = "tariff")]
extern crate std;

mod check;
mod codec;
mod journey;
mod local;
mod pack;
mod price;
mod rule;
#[cfg(feature = "tariff")]
pub mod tariff;

pub use check::PackRefused;
pub use codec::{FORMAT, PACK_MAX};
pub use journey::{Journey, Transfer, TransferFare, TransferRule};
pub use local::{DAY_S, Date, DayException, DayType, LocalTime, OffsetChange};
pub use pack::{
    Currency, DAYS_MAX, FarePack, OFFSETS_MAX, PackId, RULES_MAX, RuleId, TRANSFERS_MAX, Tariff,
    WINDOWS_MAX,
};
pub use price::{Boarding, Fare, FareError, Quote, price};
pub use rule::{CLASSES, ClassSet, DaySet, FareRule, TimeWindow, ZONES, Zone, ZoneSet};
