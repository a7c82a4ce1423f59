//! What the engine counts of itself: numbers for metrics, no names of clients or payloads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use obol_kms_registry::PayloadType;

use crate::engine::error::Outcome;

/// Upper bounds of the latency histogram's buckets, in microseconds; the last is open.
pub(crate) const BUCKETS_US: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000,
];

/// Counters since the engine was opened.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    requests: [[AtomicU64; Outcome::ALL.len()]; PayloadType::ALL.len()],
    signed: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// One reading of a histogram.
pub(crate) struct Reading {
    /// Not cumulative; the last is everything above the highest bound.
    pub(crate) buckets: [u64; BUCKETS_US.len() + 1],
    pub(crate) sum_us: u64,
}

impl Figures {
    pub(crate) fn note(&self, payload: PayloadType, outcome: Outcome, took: Duration) {
        self.requests[payload as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Signed {
            self.signed.note(took);
        }
    }

    /// How many requests for `payload` ended so.
    pub(crate) fn requests(&self, payload: PayloadType, outcome: Outcome) -> u64 {
        self.requests[payload as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// How long requests took that ended with a signature, from admission to release.
    pub(crate) fn signed(&self) -> Reading {
        Reading {
            buckets: std::array::from_fn(|at| self.signed.buckets[at].load(Ordering::Relaxed)),
            sum_us: self.signed.sum_us.load(Ordering::Relaxed),
        }
    }
}

impl Histogram {
    fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_is_not_below_it() {
        let figures = Figures::default();
        for us in [1, 500, 501, 2_500_001] {
            let took = Duration::from_micros(us);
            figures.note(PayloadType::Crl, Outcome::Signed, took);
        }
        let reading = figures.signed();
        assert_eq!(reading.buckets[..2], [2, 1]);
        assert_eq!(reading.buckets[BUCKETS_US.len()], 1);
        assert_eq!(reading.sum_us, 2_501_003);
        assert_eq!(figures.requests(PayloadType::Crl, Outcome::Signed), 4);
    }
}
