#![doc = include_str!("../README.md")]

mod client;
mod identity;
mod peer;
mod problem;
mod refusals;
mod request;
mod serve;
mod tls;
mod transport_error;

pub use axum::http;
pub use client::{HttpsClient, MAX_REPLY_BYTES, Reply};
pub use hyper::body::Bytes;
pub use identity::{Identity, IdentityError, TrustAnchor};
pub use peer::{Peer, PeerError, spki_id};
pub use problem::Problem;
pub use request::{NewIdentity, new_identity};
pub use serve::{MAX_CONNECTIONS, MAX_REQUEST_BYTES, serve};
pub use tls::{ClientAuth, server_config};
pub use transport_error::TransportError;
