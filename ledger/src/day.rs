/// A business day: whole local days since 1970-01-01.
///
/// It comes from the signed time of the event, so the same ride has the same day wherever and
/// whenever it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDay(u32);

impl BusinessDay {
    /// The day with this number.
    pub const fn from_number(number: u32) -> BusinessDay {
        BusinessDay(number)
    }

    /// Days since 1970-01-01, local.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Where a business day begins: an offset that is added to UTC before days are counted.
///
/// Beijing midnight is `+28 800`; a service day that begins at 04:00 in Beijing is `+14 400`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRule {
    offset_s: i32,
}

/// An offset beyond 14 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a business day cannot begin {0} s away from UTC: the limit is 50400 s")]
pub struct DayRuleOutOfRange(i32);

impl DayRule {
    const MAX_OFFSET_S: i32 = 14 * 3600;

    /// A rule with this offset in seconds, -50 400..=50 400.
    ///
    /// # Errors
    /// [`DayRuleOutOfRange`] beyond 14 hours.
    pub const fn new(offset_s: i32) -> Result<DayRule, DayRuleOutOfRange> {
        if offset_s.unsigned_abs() > DayRule::MAX_OFFSET_S.unsigned_abs() {
            return Err(DayRuleOutOfRange(offset_s));
        }
        Ok(DayRule { offset_s })
    }

    /// The business day of an event at `event_at` (seconds since 1970, UTC).
    pub fn day_of(self, event_at: u32) -> BusinessDay {
        let local_s = i64::from(event_at) + i64::from(self.offset_s);
        // Only the first hours of 1970 lie before day 0; they count to it.
        BusinessDay(u32::try_from(local_s.max(0) / 86_400).expect("49 711 days at most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ride_before_the_local_day_begins_belongs_to_the_day_before() {
        let beijing_at_four = DayRule::new(14_400).unwrap();
        // 2026-03-01 19:59:59 UTC is 03:59:59 in Beijing.
        let before = beijing_at_four.day_of(1_772_395_199);
        let after = beijing_at_four.day_of(1_772_395_200);
        assert_eq!(after.number(), before.number() + 1);
    }

    #[test]
    fn an_offset_beyond_fourteen_hours_is_refused() {
        assert_eq!(DayRule::new(50_401), Err(DayRuleOutOfRange(50_401)));
        assert_eq!(DayRule::new(i32::MIN), Err(DayRuleOutOfRange(i32::MIN)));
    }

    #[test]
    fn the_whole_range_of_times_has_a_day() {
        for offset_s in [-50_400, 0, 50_400] {
            let rule = DayRule::new(offset_s).unwrap();
            assert_eq!(rule.day_of(0).number(), 0);
            assert!(rule.day_of(u32::MAX).number() >= 49_709);
        }
    }
}
