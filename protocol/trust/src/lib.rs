#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod bundle;
mod codec;

pub use bundle::{
    BUNDLE_MAX, BundleRefused, CERTIFICATE_MAX, ENTRIES_MAX, Entry, OPERATOR_MAX, TrustBundle,
};
