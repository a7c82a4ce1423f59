#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod bundle;
mod codec;
pub mod json;
mod status_list;
mod suspended;
pub mod tuf;

pub use bundle::{
    BUNDLE_MAX, BundleRefused, CERTIFICATE_MAX, ENTRIES_MAX, Entry, OPERATOR_MAX, TrustBundle,
};
pub use status_list::{
    STATUS_LIST_BITS_MAX, STATUS_LIST_MAX, StatusList, StatusListId, StatusListSize,
};
pub use suspended::{SuspendedKeys, TooManySuspended};
