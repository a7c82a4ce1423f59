//! TUF metadata (specification 1.0.34) and the client's workflow, without any input or output.
//!
//! ```text
//!  bytes ─▶ Signed::parse ─▶ verified_by(keys, threshold) ─▶ Root, Timestamp, Snapshot, Targets
//!            strict JSON       over the canonical form          typed, unknown members kept
//!
//!  Client::start(stored, now) ─▶ wanted() ─▶ the host fetches ─▶ supply(bytes) ─▶ what to store
//!                                  ▲                                 │
//!                                  └─────────────────────────────────┘
//! ```

mod client;
mod date;
mod form;
mod key;
mod listing;
mod path;
mod role;
mod root;
mod search;
mod signed;
mod targets;

pub use client::{Change, Client, Fetch, Fetched, Limits, Refused, Stored};
pub use date::{date_of, parse_date};
pub use form::FormError;
pub use key::{CheckSignature, Key, KeyId, P256, der_of_raw_signature};
pub use listing::{Meta, Snapshot, Timestamp};
pub use path::{matches_pattern, quoted};
pub use role::{Head, RoleKeys, VERSION_MAX};
pub use root::{Root, TOP_LEVEL_ROLES};
pub use search::Found;
pub use signed::{Signature, Signed, SignedError, ThresholdNotMet};
pub use targets::{DelegatedRole, Delegations, Hashes, Scope, TargetFile, Targets};
