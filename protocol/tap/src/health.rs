use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of the longest health report.
pub const HEALTH_MAX: usize = 256;

/// The header that carries it, beside a segment.
pub const HEALTH_HEADER: &str = "obol-terminal-health";

const SOFTWARE_MAX: usize = 32;

/// How a terminal stands while it uploads: JSON in a header of the request (docs/spec/tap.md
/// section 6). It proves nothing and decides nothing; people look after a terminal by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The terminal's clock when it sent this, seconds since 1970 UTC.
    pub clock: u32,
    /// Rides in the journal that the platform has not acknowledged, this segment's among them.
    pub waiting: u64,
    /// How fresh its trust is.
    pub trust: TrustHealth,
    /// What it runs: 1 to 32 printable characters of ASCII.
    pub software: String,
    /// When it last heard news from the trust repository, seconds since 1970 UTC; absent of a
    /// terminal that has heard none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed: Option<u32>,
    /// The longest time between two pieces of news in the last 30 days, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence_s: Option<u32>,
}

/// How fresh a terminal's trust is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustHealth {
    /// Within what the issuer promised.
    Fresh,
    /// Up to 72 h behind it, at a lower cap.
    Degraded,
    /// Behind that too: it takes nothing.
    Expired,
    /// It has none, or none that it can read.
    Missing,
}

/// The header is no health report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRefused;

impl fmt::Display for HealthRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the health report is not the JSON of docs/spec/tap.md section 6")
    }
}

impl core::error::Error for HealthRefused {}

impl Health {
    /// The terminal's clock minus `now`, seconds: positive where the terminal is ahead.
    #[must_use]
    pub fn clock_off_s(&self, now: u32) -> i64 {
        i64::from(self.clock) - i64::from(now)
    }

    /// Whether every value lies within its limits: what a reader asks after the JSON was read.
    ///
    /// # Errors
    /// [`HealthRefused`].
    pub fn checked(self) -> Result<Self, HealthRefused> {
        let printable = self
            .software
            .bytes()
            .all(|byte| matches!(byte, 0x20..=0x7e));
        let fits = (1..=SOFTWARE_MAX).contains(&self.software.len());
        let is_between = self.silence_s.is_none() || self.refreshed.is_some();
        if printable && fits && is_between {
            Ok(self)
        } else {
            Err(HealthRefused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    fn health() -> Health {
        Health {
            clock: 1_800_000_031,
            waiting: 1204,
            trust: TrustHealth::Degraded,
            software: "obol-pos 0.1.0".to_string(),
            refreshed: Some(1_799_999_400),
            silence_s: Some(7_260),
        }
    }

    #[test]
    fn the_json_is_the_one_of_the_specification() {
        let json = serde_json::to_string(&health()).unwrap();
        let expected = concat!(
            r#"{"clock":1800000031,"waiting":1204,"trust":"degraded","#,
            r#""software":"obol-pos 0.1.0","refreshed":1799999400,"silence_s":7260}"#
        );
        assert_eq!(json, expected);
        let back: Health = serde_json::from_str(&json).unwrap();
        assert_eq!(back.checked(), Ok(health()));
        let longest = Health {
            clock: u32::MAX,
            waiting: u64::MAX,
            software: "\"".repeat(32),
            refreshed: Some(u32::MAX),
            silence_s: Some(u32::MAX),
            ..health()
        };
        assert!(serde_json::to_string(&longest).unwrap().len() <= HEALTH_MAX);
    }

    #[test]
    fn unknown_missing_and_unprintable_values_are_refused() {
        let good = serde_json::to_value(health()).unwrap();
        let mut cases = vec![];
        let mut changed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = good.clone();
            change(&mut value);
            cases.push(value);
        };
        changed(&|v| v["extra"] = 1.into());
        changed(&|v| v["clock"] = (-1).into());
        changed(&|v| v["clock"] = (1_u64 << 32).into());
        changed(&|v| v["trust"] = "stale".into());
        changed(&|v| v["software"] = "".into());
        changed(&|v| v["software"] = "a\nb".into());
        changed(&|v| v["software"] = "a".repeat(33).into());
        changed(&|v| drop(v.as_object_mut().unwrap().remove("waiting")));
        changed(&|v| drop(v.as_object_mut().unwrap().remove("refreshed")));
        changed(&|v| v["refreshed"] = (-1).into());
        changed(&|v| v["silence_s"] = (1_u64 << 32).into());
        for case in cases {
            let text = case.to_string();
            let read = serde_json::from_value::<Health>(case).map_err(|_| HealthRefused);
            assert_eq!(read.and_then(Health::checked), Err(HealthRefused), "{text}");
        }
    }

    #[test]
    fn a_terminal_that_follows_no_repository_says_nothing_of_it() {
        let none = Health {
            refreshed: None,
            silence_s: None,
            ..health()
        };
        let json = serde_json::to_string(&none).unwrap();
        assert!(json.ends_with(r#""software":"obol-pos 0.1.0"}"#), "{json}");
        let back: Health = serde_json::from_str(&json).unwrap();
        assert_eq!(back.checked(), Ok(none));
    }

    #[test]
    fn a_clock_that_is_ahead_is_off_by_a_positive_number() {
        assert_eq!(health().clock_off_s(1_800_000_000), 31);
        assert_eq!(health().clock_off_s(1_800_000_040), -9);
    }
}
