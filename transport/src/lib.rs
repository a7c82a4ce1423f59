#![doc = include_str!("../README.md")]

mod anchor;
mod certs_only;
mod client;
mod connections;
mod file;
mod identity;
mod listen;
mod peer;
mod problem;
mod refusals;
mod request;
mod serve;
mod tls;
mod transport_error;

pub use anchor::{ANCHORS_MAX, AnchorRefused, CaCertificate, TrustAnchor};
pub use axum::http;
pub use certs_only::{certificate_of, certificates_of};
pub use client::{HttpsClient, MAX_REPLY_BYTES, Reply};
pub use file::{FileClient, FilePart, Pace};
pub use hyper::body::Bytes;
pub use identity::{Identity, IdentityError};
pub use listen::{CannotListen, listen};
pub use peer::{Peer, PeerError, spki_id};
pub use problem::Problem;
pub use request::{NewIdentity, new_identity};
pub use serve::{
    Limits, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_PEER, MAX_REQUEST_BYTES, serve, serve_within,
};
pub use tls::{ClientAuth, LiveTls, ServerTls, server_config};
pub use transport_error::TransportError;
