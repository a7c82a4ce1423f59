//! Times of many requests, and what a process holds.

use std::fs;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Quantiles, milliseconds; zeros of nothing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// 999 of 1 000 are no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Collects times.
#[derive(Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The quantiles, by nearest rank.
    #[must_use]
    pub fn times(mut self) -> Times {
        self.0.sort_unstable();
        let at = |share: f64| {
            let rank = (share * self.0.len() as f64).ceil() as usize;
            let found = self.0.get(rank.saturating_sub(1));
            found.map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
        };
        Times {
            count: self.0.len() as u64,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }
}

/// What a process holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// The most there was of it, KiB.
    pub peak_kib: u64,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl ProcessFigures {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When there is none, or it is another user's.
    pub fn of(process: u32) -> io::Result<ProcessFigures> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            number.ok_or_else(|| io::Error::other(format!("no {name} in /proc/{process}/status")))
        };
        Ok(ProcessFigures {
            resident_kib: kib("VmRSS:")?,
            peak_kib: kib("VmHWM:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut figures = Figures::default();
        for ms in (1..=1000).rev() {
            figures.add(Duration::from_millis(ms));
        }
        let times = figures.times();
        assert_eq!(
            (times.count, times.p50, times.p99, times.p999, times.max),
            (1000, 500.0, 990.0, 999.0, 1000.0)
        );
        assert_eq!(Figures::default().times(), Times::default());
    }

    #[test]
    fn a_process_has_memory_and_descriptors() {
        let own = ProcessFigures::of(std::process::id()).unwrap();
        assert!(own.peak_kib >= own.resident_kib && own.resident_kib > 100);
        assert!(own.descriptors >= 3);
    }
}
