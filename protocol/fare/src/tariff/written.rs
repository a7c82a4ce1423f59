//! Values as an operator writes them.

use alloc::borrow::ToOwned;

use super::TariffError;
use crate::{Currency, DAY_S, Date, DayType};

pub(super) fn value(key: &'static str, found: &str, expected: &'static str) -> TariffError {
    TariffError::Value {
        key,
        found: found.to_owned(),
        expected,
    }
}

pub(super) fn currency_of(text: &str) -> Result<Currency, TariffError> {
    Currency::new(text).ok_or_else(|| value("currency", text, "three capital letters"))
}

/// `+08:00`, `-03:30`.
pub(super) fn offset_of(text: &str) -> Result<i32, TariffError> {
    let refused = || {
        value(
            "utc_offset",
            text,
            "an offset like \"+08:00\", up to 14 hours",
        )
    };
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(refused()),
    };
    let offset_s = seconds_of(rest).filter(|_| rest.len() == 5);
    let offset_s = offset_s.filter(|seconds| *seconds <= 50_400);
    offset_s
        .and_then(|seconds| i32::try_from(seconds).ok())
        .map(|seconds| sign * seconds)
        .ok_or_else(refused)
}

/// `2026-10-01`.
pub(super) fn date_of(text: &str) -> Result<Date, TariffError> {
    let mut parts = text.split('-');
    let mut part = |length| parts.next().and_then(|part| digits(part, length));
    let date = (part(4), part(2), part(2));
    let date = match (date, parts.next()) {
        ((Some(year), Some(month), Some(day)), None) => {
            Date::from_civil(year as u16, month as u8, day as u8)
        }
        _ => None,
    };
    date.ok_or_else(|| value("date", text, "a date like \"2026-10-01\""))
}

pub(super) fn day_of(key: &'static str, text: &str) -> Result<DayType, TariffError> {
    const NAMES: [&str; 8] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"];
    let at = NAMES.iter().position(|name| *name == text);
    at.map(|at| DayType::ALL[at])
        .ok_or_else(|| value(key, text, "mon, tue, wed, thu, fri, sat, sun or holiday"))
}

/// `07:00`, `07:00:30`, `24:00`: seconds since midnight.
pub(super) fn clock_of(key: &'static str, text: &str) -> Result<u32, TariffError> {
    let seconds = seconds_of(text).filter(|seconds| *seconds <= DAY_S);
    seconds.ok_or_else(|| value(key, text, "a time of day like \"07:00\", up to \"24:00\""))
}

fn seconds_of(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let hours = digits(parts.next()?, 2)?;
    let minutes = digits(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let seconds = match parts.next() {
        None => 0,
        Some(seconds) => digits(seconds, 2).filter(|seconds| *seconds < 60)?,
    };
    let ended = parts.next().is_none();
    ended.then_some(hours * 3_600 + minutes * 60 + seconds)
}

fn digits(text: &str, length: usize) -> Option<u32> {
    let all = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}
