//! What is asked of the generator, and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::figures::Times;

/// One run of load by one client.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `https://localhost:PORT`.
    pub url: String,
    /// The access CA.
    pub trust: PathBuf,
    /// The client's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The version of HTTP.
    pub http: Http,
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Credentials in one request: one is asked for by itself, more as a batch.
    pub items: usize,
    /// Requests that are ready before the clock starts.
    pub ahead: usize,
    /// Requests in all; `None` makes more while it runs.
    pub requests: Option<usize>,
    /// How long new requests are sent, seconds.
    pub seconds: f64,
    /// Whether a request that got 503 or no answer comes again under its `Idempotency-Key`, until
    /// it is answered.
    pub repeats: bool,
}

/// The version of HTTP, and over how many connections.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Http {
    /// HTTP/1.1: a connection for each request under way.
    One,
    /// HTTP/2: so many connections, requests dealt out among them.
    Two {
        /// At once.
        connections: usize,
    },
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// So many callers, each with one request under way.
    Closed {
        /// At once.
        callers: usize,
    },
    /// At a fixed rate.
    Open {
        /// Requests a second.
        per_s: f64,
    },
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// From the first request to the last answer, seconds.
    pub seconds: f64,
    /// Requests sent, repeats not counted.
    pub requests: u64,
    /// Credentials received.
    pub credentials: u64,
    /// Answers by status and, of refusals, code; `lost` where none came.
    pub answers: BTreeMap<String, u64>,
    /// Refusals with status 503 that said when to come again.
    pub with_retry_after: u64,
    /// Requests that were sent again.
    pub repeated: u64,
    /// Requests that in the end got no credential.
    pub without: u64,
    /// From a request's time to its credentials.
    pub served: Times,
    /// From a request's time to its refusal.
    pub refused: Times,
    /// The longest time in which no request was served, seconds.
    pub silence_s: f64,
}

impl Report {
    /// Credentials a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.credentials as f64 / self.seconds
    }

    /// Answers of this name.
    #[must_use]
    pub fn answered(&self, name: &str) -> u64 {
        self.answers.get(name).copied().unwrap_or(0)
    }
}
