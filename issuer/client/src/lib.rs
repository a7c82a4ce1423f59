#![doc = include_str!("../README.md")]

mod asked;
mod batch;
mod client;
mod error;
mod fan;
mod owner;
mod publishing;
mod repeat;
mod site;
mod wire;

pub use asked::{Ask, Command, Issued, RequestKey, Target, Verb};
pub use batch::{Batch, PART_MAX, UnsettledPart};
pub use client::{BATCH_DEADLINE, DEADLINE, ISSUERS_MAX, IssuerAddress, IssuerClient};
pub use error::{BadIssuers, IssuerClientError, Missing, NotConfirmed, Placement};
pub use fan::{Confirmed, CredentialStatus, Heard, KeyStatus, StandingStatus};
pub use owner::order_of;
pub use publishing::PublishingClient;
