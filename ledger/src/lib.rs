#![doc = include_str!("../README.md")]

mod amount;
mod books;
mod chart;
mod counters;
mod day;
mod group;
mod transfer;
mod trial;

pub use amount::{Amount, AmountOverflow};
pub use books::{Books, PostRefused, Posting};
pub use chart::{AccountId, BUCKETS, Bucket, Code, Side, UnknownCode};
pub use counters::{AuthoriseRefused, Authorised, BelowFloor, Counters, Delta, Floor, FloorState};
pub use day::{BusinessDay, DayRule, DayRuleOutOfRange};
pub use group::{
    Group, GroupId, GroupKind, GroupRefused, MAX_LEGS, SOURCE_KEY_MAX, SourceKey, SourceKeyRefused,
};
pub use transfer::{MAX_TRANSFER_MINOR, Transfer, TransferRefused, Why};
pub use trial::{TrialBalance, TrialLine};
