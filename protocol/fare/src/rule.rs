use alloc::vec::Vec;
use core::fmt;

use crate::{DayType, LocalTime, RuleId};

/// Number of fare classes: 0..=31.
pub const CLASSES: u8 = 32;
/// Number of zones, with the one that is none: 0..=63.
pub const ZONES: u8 = 64;

/// Some fare classes, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSet(pub u32);

impl ClassSet {
    /// One class; no class for a number from 32 on.
    #[must_use]
    pub fn of(class: u8) -> ClassSet {
        ClassSet(1_u32.checked_shl(class.into()).unwrap_or(0))
    }

    /// Whether `class` is one of them.
    #[must_use]
    pub fn holds(self, class: u8) -> bool {
        self.0 & ClassSet::of(class).0 != 0
    }
}

/// Where a terminal stands: a fare zone 1..=63, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(u8);

impl Zone {
    /// The terminal stands in no zone, or its tariff has none.
    pub const NONE: Zone = Zone(0);

    /// The zone with this number, `None` from 64 on; 0 is [`Zone::NONE`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Zone> {
        if number < ZONES {
            Some(Zone(number))
        } else {
            None
        }
    }

    /// Its number, 0..=63.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Some zones, one bit each; bit 0 for a terminal in no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSet(pub u64);

impl ZoneSet {
    /// Everywhere, also in no zone.
    pub const ALL: ZoneSet = ZoneSet(u64::MAX);

    /// These zones and no other.
    #[must_use]
    pub fn of(zones: &[Zone]) -> ZoneSet {
        ZoneSet(zones.iter().fold(0, |set, zone| set | 1 << zone.0))
    }

    /// Whether `zone` is one of them.
    #[must_use]
    pub const fn holds(self, zone: Zone) -> bool {
        self.0 >> zone.0 & 1 != 0
    }
}

/// Some kinds of day, one bit each, by the numbers of [`DayType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySet(pub u8);

impl DaySet {
    /// These days and no other.
    #[must_use]
    pub fn of(days: &[DayType]) -> DaySet {
        DaySet(days.iter().fold(0, |set, day| set | 1 << day.number()))
    }

    /// Whether `day` is one of them.
    #[must_use]
    pub const fn holds(self, day: DayType) -> bool {
        self.0 >> day.number() & 1 != 0
    }
}

/// A span of the local clock on some days. It does not reach over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// The days.
    pub days: DaySet,
    /// Its first second, 0..=86 399 since local midnight.
    pub from_s: u32,
    /// The second behind its last, up to 86 400.
    pub until_s: u32,
}

impl TimeWindow {
    /// Whether the local time lies inside.
    #[must_use]
    pub const fn holds(&self, local: LocalTime) -> bool {
        self.days.holds(local.day)
            && self.from_s <= local.second_of_day
            && local.second_of_day < self.until_s
    }
}

/// One fare: riders of `classes` who board in `zones` at one of `times` pay `amount_minor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FareRule {
    /// Number of the rule.
    pub id: RuleId,
    /// Who pays it.
    pub classes: ClassSet,
    /// Where it holds.
    pub zones: ZoneSet,
    /// When it holds, at most [`crate::WINDOWS_MAX`] windows; empty: always.
    pub times: Vec<TimeWindow>,
    /// The fare in minor units, from 0 on.
    pub amount_minor: u32,
}

impl FareRule {
    /// A flat fare of one class: everywhere and always.
    #[must_use]
    pub fn flat(id: RuleId, class: u8, amount_minor: u32) -> FareRule {
        FareRule {
            id,
            classes: ClassSet::of(class),
            zones: ZoneSet::ALL,
            times: Vec::new(),
            amount_minor,
        }
    }

    /// Whether every boarding that `other` fits also fits this rule.
    pub(crate) fn covers(&self, other: &FareRule) -> bool {
        let subset = other.classes.0 & !self.classes.0 == 0 && other.zones.0 & !self.zones.0 == 0;
        subset && (self.times.is_empty() || self.times == other.times)
    }
}
