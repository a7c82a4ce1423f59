use alloc::format;
use alloc::string::String;

use obol_credential::UnixTime;

const DAY_S: i64 = 86_400;

/// Seconds of `YYYY-MM-DDTHH:MM:SSZ`; a date behind the year 2106 counts as its end, one before
/// 1970 as its start. `None` for another form and for days that no month has.
#[must_use]
pub fn parse_date(text: &str) -> Option<UnixTime> {
    let bytes = text.as_bytes();
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ];
    if bytes.len() != 20 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0_i64, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23
        || minute > 59
        || second > 59
        || civil(days(year, month, day)) != (year, month, day)
    {
        return None;
    }
    let seconds = days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
    let seconds = seconds.clamp(0, i64::from(u32::MAX));
    Some(UnixTime(
        u32::try_from(seconds).expect("clamped to 32 bits"),
    ))
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
#[must_use]
pub fn date_of(time: UnixTime) -> String {
    let seconds = i64::from(time.0);
    let (year, month, day) = civil(seconds / DAY_S);
    let of_day = seconds % DAY_S;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
/// day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-28T05:04:37Z", 1_795_842_277),
            ("2106-02-07T06:28:15Z", u32::MAX),
        ] {
            assert_eq!(parse_date(text), Some(UnixTime(seconds)), "{text}");
            assert_eq!(date_of(UnixTime(seconds)), text);
        }
        assert_eq!(parse_date("2106-02-07T06:28:16Z"), Some(UnixTime(u32::MAX)));
        assert_eq!(parse_date("9999-12-31T23:59:59Z"), Some(UnixTime(u32::MAX)));
        assert_eq!(parse_date("0001-01-01T00:00:00Z"), Some(UnixTime(0)));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00z",
            "2026-01-01 00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5Z",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_second_reads_back(seconds: u32) {
            let text = date_of(UnixTime(seconds));
            proptest::prop_assert_eq!(parse_date(&text), Some(UnixTime(seconds)));
        }
    }
}
