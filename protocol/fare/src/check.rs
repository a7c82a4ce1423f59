use core::fmt;

use obol_credential::UnixTime;

use crate::pack::Tariff;
use crate::{
    DAY_S, DAYS_MAX, Date, FareRule, OFFSETS_MAX, OffsetChange, RULES_MAX, RuleId, TRANSFERS_MAX,
    TimeWindow, Transfer, TransferRule, WINDOWS_MAX,
};

/// Why a tariff makes no pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackRefused {
    /// It ends before it begins.
    Empty {
        /// First second.
        from: UnixTime,
        /// Last second.
        until: UnixTime,
    },
    /// No rule, or more than [`RULES_MAX`].
    RuleCount(usize),
    /// A rule for no class, or for a class from 32 on.
    NoClass(RuleId),
    /// A rule that holds in no zone.
    NoZone(RuleId),
    /// Two rules with one number.
    RuleTwice(RuleId),
    /// A rule that never applies.
    NeverApplies {
        /// The rule.
        rule: RuleId,
        /// An earlier rule that fits whatever this one fits.
        covered_by: RuleId,
    },
    /// More than [`WINDOWS_MAX`] time windows.
    WindowCount(RuleId),
    /// A time window without a day, that is empty, or that reaches over midnight.
    Window(RuleId),
    /// A rule has times, and what local time is at the pack's first second is not said.
    NoOffset(RuleId),
    /// More than [`OFFSETS_MAX`] changes of the offset from UTC.
    OffsetCount(usize),
    /// A change of the offset that is out of order or not whole minutes within 14 hours.
    Offset(OffsetChange),
    /// More than [`DAYS_MAX`] exceptions of the calendar.
    DayCount(usize),
    /// An exception that stands twice or out of order.
    Day(Date),
    /// More than [`TRANSFERS_MAX`] transfer rules.
    TransferCount(usize),
    /// A transfer rule whose window or number of rides is out of range.
    Transfer(RuleId),
    /// A transfer rule for a class that has another.
    TransferClass(RuleId),
}

impl fmt::Display for PackRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use PackRefused as P;
        match self {
            P::Empty { from, until } => {
                write!(f, "valid_until {until} lies before valid_from {from}")
            }
            P::RuleCount(count) => {
                write!(f, "a fare pack has 1 to {RULES_MAX} rules, not {count}")
            }
            P::NoClass(id) => write!(f, "rule {} has no class within 0 to 31", id.0),
            P::NoZone(id) => write!(f, "rule {} holds in no zone", id.0),
            P::RuleTwice(id) => write!(f, "rule {} stands twice", id.0),
            P::NeverApplies { rule, covered_by } => {
                write!(f, "rule {} never applies, rule {} ", rule.0, covered_by.0)?;
                f.write_str("stands before it and fits whatever it fits")
            }
            P::WindowCount(id) => {
                write!(f, "rule {} has more than {WINDOWS_MAX} time windows", id.0)
            }
            P::Window(id) => {
                write!(f, "rule {} has a time window without a day, ", id.0)?;
                f.write_str("empty, or reaching over midnight")
            }
            P::NoOffset(id) => {
                write!(f, "rule {} has times, and no offset from UTC holds ", id.0)?;
                f.write_str("at valid_from")
            }
            P::OffsetCount(count) => {
                write!(
                    f,
                    "a fare pack has at most {OFFSETS_MAX} offsets from UTC, not {count}"
                )
            }
            P::Offset(change) => {
                write!(
                    f,
                    "the offset of {} s from {} is out of ",
                    change.offset_s, change.from
                )?;
                f.write_str("order, or not whole minutes within 14 hours")
            }
            P::DayCount(count) => {
                write!(
                    f,
                    "a fare pack has at most {DAYS_MAX} special days, not {count}"
                )
            }
            P::Day(date) => write!(f, "the special day {date} stands twice or out of order"),
            P::TransferCount(count) => {
                write!(
                    f,
                    "a fare pack has at most {TRANSFERS_MAX} transfer rules, not {count}"
                )
            }
            P::Transfer(id) => {
                write!(f, "transfer rule {} is not for 1 to 255 rides ", id.0)?;
                write!(f, "within 1 to {} seconds", Transfer::WITHIN_MAX_S)
            }
            P::TransferClass(id) => {
                write!(f, "transfer rule {} is for a class that has another", id.0)
            }
        }
    }
}

impl core::error::Error for PackRefused {}

pub(crate) fn check(tariff: &Tariff) -> Result<(), PackRefused> {
    let (from, until) = (tariff.valid_from, tariff.valid_until);
    if until < from {
        return Err(PackRefused::Empty { from, until });
    }
    check_offsets(&tariff.offsets)?;
    check_days(tariff)?;
    if tariff.rules.is_empty() || tariff.rules.len() > RULES_MAX {
        return Err(PackRefused::RuleCount(tariff.rules.len()));
    }
    for (at, rule) in tariff.rules.iter().enumerate() {
        check_rule(rule, &tariff.rules[..at], tariff)?;
    }
    if tariff.transfers.len() > TRANSFERS_MAX {
        return Err(PackRefused::TransferCount(tariff.transfers.len()));
    }
    for (at, rule) in tariff.transfers.iter().enumerate() {
        check_transfer(rule, &tariff.transfers[..at], &tariff.rules)?;
    }
    Ok(())
}

fn check_rule(rule: &FareRule, before: &[FareRule], tariff: &Tariff) -> Result<(), PackRefused> {
    let id = rule.id;
    if rule.classes.0 == 0 {
        return Err(PackRefused::NoClass(id));
    }
    if rule.zones.0 == 0 {
        return Err(PackRefused::NoZone(id));
    }
    if rule.times.len() > WINDOWS_MAX {
        return Err(PackRefused::WindowCount(id));
    }
    if rule.times.iter().any(|window| !is_sound(window)) {
        return Err(PackRefused::Window(id));
    }
    let first = tariff.offsets.first();
    if !rule.times.is_empty() && first.is_none_or(|first| first.from > tariff.valid_from) {
        return Err(PackRefused::NoOffset(id));
    }
    if before.iter().any(|other| other.id == id) {
        return Err(PackRefused::RuleTwice(id));
    }
    match before.iter().find(|other| other.covers(rule)) {
        Some(other) => Err(PackRefused::NeverApplies {
            rule: id,
            covered_by: other.id,
        }),
        None => Ok(()),
    }
}

fn is_sound(window: &TimeWindow) -> bool {
    window.days.0 != 0 && window.from_s < window.until_s && window.until_s <= DAY_S
}

fn check_offsets(offsets: &[OffsetChange]) -> Result<(), PackRefused> {
    if offsets.len() > OFFSETS_MAX {
        return Err(PackRefused::OffsetCount(offsets.len()));
    }
    for (at, change) in offsets.iter().enumerate() {
        let in_order = at == 0 || offsets[at - 1].from < change.from;
        let in_range = (-50_400..=50_400).contains(&change.offset_s) && change.offset_s % 60 == 0;
        if !in_order || !in_range {
            return Err(PackRefused::Offset(*change));
        }
    }
    Ok(())
}

fn check_days(tariff: &Tariff) -> Result<(), PackRefused> {
    if tariff.days.len() > DAYS_MAX {
        return Err(PackRefused::DayCount(tariff.days.len()));
    }
    let mut pairs = tariff.days.iter().zip(tariff.days.iter().skip(1));
    match pairs.find(|(day, next)| day.date >= next.date) {
        Some((_, next)) => Err(PackRefused::Day(next.date)),
        None => Ok(()),
    }
}

fn check_transfer(
    rule: &TransferRule,
    before: &[TransferRule],
    fares: &[FareRule],
) -> Result<(), PackRefused> {
    let id = rule.transfer.id;
    if rule.classes.0 == 0 {
        return Err(PackRefused::NoClass(id));
    }
    let within = 1..=Transfer::WITHIN_MAX_S;
    if rule.transfer.most == 0 || !within.contains(&rule.transfer.within_s) {
        return Err(PackRefused::Transfer(id));
    }
    let is_taken = before.iter().any(|other| other.transfer.id == id);
    if is_taken || fares.iter().any(|other| other.id == id) {
        return Err(PackRefused::RuleTwice(id));
    }
    if before
        .iter()
        .any(|other| other.classes.0 & rule.classes.0 != 0)
    {
        return Err(PackRefused::TransferClass(id));
    }
    Ok(())
}
