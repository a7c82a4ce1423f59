use core::fmt;

use obol_credential::UnixTime;

/// Seconds of a day.
pub const DAY_S: u32 = 86_400;

/// From this second on, local time is so far ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetChange {
    /// First second.
    pub from: UnixTime,
    /// Seconds ahead of UTC, whole minutes within 14 hours either way; negative: behind.
    pub offset_s: i32,
}

/// What kind of day a tariff sees in a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DayType {
    /// 0.
    Monday = 0,
    /// 1.
    Tuesday = 1,
    /// 2.
    Wednesday = 2,
    /// 3.
    Thursday = 3,
    /// 4.
    Friday = 4,
    /// 5.
    Saturday = 5,
    /// 6.
    Sunday = 6,
    /// 7: no date is one by itself; a [`DayException`] makes it one.
    Holiday = 7,
}

impl DayType {
    /// All of them, in the order of their numbers.
    pub const ALL: [DayType; 8] = [
        DayType::Monday,
        DayType::Tuesday,
        DayType::Wednesday,
        DayType::Thursday,
        DayType::Friday,
        DayType::Saturday,
        DayType::Sunday,
        DayType::Holiday,
    ];

    /// The number in a fare pack.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The day with this number, `None` from 8 on.
    #[must_use]
    pub fn from_number(number: u8) -> Option<DayType> {
        DayType::ALL.get(usize::from(number)).copied()
    }
}

/// A calendar date: days since 1970-01-01. UTC seconds of 32 bits reach day 49 710.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u16);

impl Date {
    /// The date of the Gregorian calendar, `None` when there is none such from 1970 to 2149.
    #[must_use]
    pub fn from_civil(year: u16, month: u8, day: u8) -> Option<Date> {
        if year < 1970 || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
            return None;
        }
        let years: u32 = (1970..year)
            .map(|year| 365 + u32::from(is_leap(year)))
            .sum();
        let months: u32 = (1..month)
            .map(|month| u32::from(days_of(year, month)))
            .sum();
        u16::try_from(years + months + u32::from(day) - 1)
            .ok()
            .map(Date)
    }

    fn weekday(self) -> DayType {
        // 1970-01-01 was a Thursday.
        DayType::ALL[usize::from((self.0 % 7 + 3) % 7)]
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut year, mut left) = (1970, self.0);
        while left >= 365 + u16::from(is_leap(year)) {
            left -= 365 + u16::from(is_leap(year));
            year += 1;
        }
        let mut month = 1;
        while left >= u16::from(days_of(year, month)) {
            left -= u16::from(days_of(year, month));
            month += 1;
        }
        write!(f, "{year}-{month:02}-{:02}", left + 1)
    }
}

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u16, month: u8) -> u8 {
    match month {
        2 => 28 + is_leap(year) as u8,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date that counts as another day than its weekday: a public holiday, or a Saturday that is
/// worked like a Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayException {
    /// The date.
    pub date: Date,
    /// What it counts as.
    pub counts_as: DayType,
}

/// A time as the operator's clocks and calendar show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// What the date counts as.
    pub day: DayType,
    /// Seconds since local midnight, 0..=86 399.
    pub second_of_day: u32,
}

impl LocalTime {
    /// The local time at `at`; UTC before the first change. Both lists are ascending.
    //= docs/spec/fare-pack.md#local-time
    #[must_use]
    pub fn of(at: UnixTime, offsets: &[OffsetChange], days: &[DayException]) -> LocalTime {
        let changes = offsets.partition_point(|change| change.from <= at);
        let offset_s = changes
            .checked_sub(1)
            .map_or(0, |last| offsets[last].offset_s);
        // The calendar ends with the seconds of 32 bits on both sides.
        let local = (i64::from(at.0) + i64::from(offset_s)).max(0);
        let date = Date(u16::try_from(local / i64::from(DAY_S)).unwrap_or(u16::MAX));
        let exception = days.binary_search_by_key(&date, |day| day.date);
        LocalTime {
            day: exception.map_or_else(|_| date.weekday(), |found| days[found].counts_as),
            second_of_day: (local % i64::from(DAY_S)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn utc(at: u32) -> LocalTime {
        LocalTime::of(UnixTime(at), &[], &[])
    }

    #[test]
    fn the_first_day_of_1970_was_a_thursday_and_weeks_have_seven_days() {
        assert_eq!(utc(0).day, DayType::Thursday);
        assert_eq!(utc(DAY_S - 1).day, DayType::Thursday);
        assert_eq!(utc(DAY_S).day, DayType::Friday);
        assert_eq!(utc(1_800_000_000).day, DayType::Friday);
        assert_eq!(utc(4 * DAY_S).day, DayType::Monday);
    }

    #[test]
    fn every_date_of_the_calendar_reads_as_it_is_written() {
        for days in 0..=u16::MAX {
            let text = Date(days).to_string();
            let mut parts = text.split('-').map(|part| part.parse::<u16>().unwrap());
            let mut part = || parts.next().unwrap();
            let (year, month, day) = (part(), part() as u8, part() as u8);
            assert_eq!(Date::from_civil(year, month, day), Some(Date(days)));
        }
        assert_eq!(Date(20_454).to_string(), "2026-01-01");
        assert_eq!(Date::from_civil(2026, 1, 1), Some(Date(20_454)));
    }

    #[test]
    fn a_date_that_the_calendar_lacks_is_none() {
        for (year, month, day) in [
            (1969, 12, 31),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 2, 29),
            (2100, 2, 29),
            (2026, 4, 31),
            (2026, 1, 0),
            (2150, 1, 1),
        ] {
            assert_eq!(
                Date::from_civil(year, month, day),
                None,
                "{year}-{month}-{day}"
            );
        }
    }

    #[test]
    fn an_offset_holds_from_its_first_second() {
        let berlin = [
            OffsetChange {
                from: UnixTime(0),
                offset_s: 3_600,
            },
            // 2026-03-29T01:00:00Z: 02:00 becomes 03:00.
            OffsetChange {
                from: UnixTime(1_774_746_000),
                offset_s: 7_200,
            },
        ];
        let local = |at| LocalTime::of(UnixTime(at), &berlin, &[]).second_of_day;
        assert_eq!(local(1_774_745_999), 2 * 3_600 - 1);
        assert_eq!(local(1_774_746_000), 3 * 3_600);
    }

    #[test]
    fn a_place_behind_utc_still_has_the_day_before() {
        let west = [OffsetChange {
            from: UnixTime(0),
            offset_s: -5 * 3_600,
        }];
        let local = LocalTime::of(UnixTime(DAY_S), &west, &[]);
        assert_eq!(
            (local.day, local.second_of_day),
            (DayType::Thursday, 19 * 3_600)
        );
    }

    #[test]
    fn an_exception_holds_for_its_local_date_alone() {
        let east = [OffsetChange {
            from: UnixTime(0),
            offset_s: 8 * 3_600,
        }];
        let holiday = [DayException {
            date: Date(10),
            counts_as: DayType::Holiday,
        }];
        let midnight = 10 * DAY_S - 8 * 3_600;
        let day = |at| LocalTime::of(UnixTime(at), &east, &holiday).day;
        assert_eq!(day(midnight - 1), DayType::Saturday);
        assert_eq!(day(midnight), DayType::Holiday);
        assert_eq!(day(midnight + DAY_S - 1), DayType::Holiday);
        assert_eq!(day(midnight + DAY_S), DayType::Monday);
    }
}
