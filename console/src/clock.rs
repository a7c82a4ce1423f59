use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;

/// Seconds since 1970-01-01 UTC, leap seconds not counted.
///
/// The one place in the workspace that asks the operating system for the time. A clock before 1970
/// reads as 0 and one after 2106 as `u32::MAX`: both are refused by every rule about freshness,
/// which is what such a clock deserves.
#[must_use]
#[allow(clippy::disallowed_methods)] // the reason for this function
pub fn unix_now() -> u32 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
        Err(_) => 0,
    }
}

/// `2026-01-31 08:05:00Z` for people; machines get the number.
#[must_use]
pub fn utc_text(unix: u32) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(i64::from(unix))
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .expect("every u32 is a second between 1970 and 2106")
}

#[cfg(test)]
mod tests {
    use super::{unix_now, utc_text};

    #[test]
    fn the_clock_reads_after_this_was_written() {
        assert!(unix_now() > 1_750_000_000);
    }

    #[test]
    fn times_are_written_in_utc_up_to_the_last_second_of_u32() {
        assert_eq!(utc_text(0), "1970-01-01 00:00:00Z");
        assert_eq!(utc_text(u32::MAX), "2106-02-07 06:28:15Z");
    }
}
