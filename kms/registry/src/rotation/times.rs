use obol_credential::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use toml::value::Datetime;

/// Seconds of `90s`, `15m`, `96h` or `4d`; `None` for anything else.
#[must_use]
pub fn duration_s(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = number.parse().ok().filter(|_| digits)?;
    number.checked_mul(factor)
}

/// A moment as plans and fleets write it: `2027-01-15T00:00:00Z`.
///
/// # Panics
/// Never: each second from 1970 to 2106 has such a text.
#[must_use]
pub fn instant(time: UnixTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from_unix_timestamp(i64::from(time.0))
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .expect("every u32 is a second between 1970 and 2106")
}

/// The moment of a TOML date and time with an offset, in whole seconds from 1970 to 2106.
pub(super) fn moment(written: &Datetime) -> Option<UnixTime> {
    let moment = OffsetDateTime::parse(&written.to_string(), &Rfc3339).ok()?;
    let whole = moment.nanosecond() == 0;
    let seconds = u32::try_from(moment.unix_timestamp()).ok();
    seconds.filter(|_| whole).map(UnixTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let good = [
            ("0s", 0),
            ("90s", 90),
            ("15m", 900),
            ("96h", 345_600),
            ("4d", 345_600),
        ];
        for (text, expected) in good {
            assert_eq!(duration_s(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "s",
            "90",
            "-1s",
            "+1s",
            "1.5h",
            "9 h",
            "4294967295d",
            "1é",
        ] {
            assert_eq!(duration_s(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_has_an_offset_and_whole_seconds_and_fits() {
        let read = |text: &str| moment(&text.parse().unwrap());
        let noon = UnixTime(1_800_014_400);
        assert_eq!(read("2027-01-15T12:00:00Z"), Some(noon));
        assert_eq!(read("2027-01-15T20:00:00+08:00"), Some(noon));
        assert_eq!(instant(noon), "2027-01-15T12:00:00Z");
        for text in [
            "2027-01-15T12:00:00",
            "2027-01-15",
            "12:00:00",
            "2027-01-15T12:00:00.5Z",
            "1969-12-31T23:59:59Z",
            "2106-02-07T06:28:16Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
