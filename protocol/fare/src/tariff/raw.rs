//! The tariff as the file says it: policies/tariffs/*.toml are its manual.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use obol_credential::UnixTime;
use serde::Deserialize;

use super::TariffError;
use super::written::{clock_of, currency_of, date_of, day_of, offset_of, value};
use crate::{
    ClassSet, DayException, DaySet, FareRule, OffsetChange, RuleId, Tariff, TimeWindow, Transfer,
    TransferFare, TransferRule, Zone, ZoneSet,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTariff {
    currency: String,
    valid_from: u32,
    valid_until: u32,
    utc_offset: Option<String>,
    #[serde(default, rename = "utc_offset_change")]
    changes: Vec<RawChange>,
    #[serde(default, rename = "day")]
    days: Vec<RawDay>,
    #[serde(default, rename = "period")]
    periods: Vec<RawPeriod>,
    #[serde(rename = "fare")]
    fares: Vec<RawFare>,
    #[serde(default, rename = "transfer")]
    transfers: Vec<RawTransfer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChange {
    from: u32,
    utc_offset: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDay {
    date: String,
    counts_as: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeriod {
    name: String,
    days: Vec<String>,
    from: String,
    until: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFare {
    rule: u16,
    classes: Vec<u8>,
    zones: Option<Vec<u8>>,
    period: Option<String>,
    amount_minor: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTransfer {
    rule: u16,
    classes: Vec<u8>,
    within_s: u32,
    most: u8,
    fare: RawTransferFare,
    discount_minor: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTransferFare {
    Free,
    Difference,
    Discount,
}

pub(super) fn parse(text: &str) -> Result<RawTariff, TariffError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        TariffError::Syntax {
            line: text[..start].matches('\n').count() + 1,
            // Some messages go on over lines of their own.
            reason: error.message().replace('\n', ", "),
        }
    })
}

impl RawTariff {
    pub(super) fn check(&self) -> Result<Tariff, TariffError> {
        let named = |period: &RawPeriod| self.fares.iter().any(|fare| fare.names(period));
        if let Some(unused) = self.periods.iter().find(|period| !named(period)) {
            return Err(value("name", &unused.name, "the period of some fare"));
        }
        Ok(Tariff {
            currency: currency_of(&self.currency)?,
            valid_from: UnixTime(self.valid_from),
            valid_until: UnixTime(self.valid_until),
            rules: each(&self.fares, |fare| self.rule(fare))?,
            offsets: self.offsets()?,
            days: self.days()?,
            transfers: each(&self.transfers, RawTransfer::check)?,
        })
    }

    fn rule(&self, fare: &RawFare) -> Result<FareRule, TariffError> {
        let periods = self.periods.iter();
        let mut times = Vec::new();
        for period in periods.filter(|period| fare.names(period)) {
            times.push(period.window()?);
        }
        match &fare.period {
            Some(name) if times.is_empty() => {
                return Err(value("period", name, "the name of a [[period]]"));
            }
            _ => {}
        }
        Ok(FareRule {
            id: RuleId(fare.rule),
            classes: classes_of(&fare.classes)?,
            zones: fare.zones.as_deref().map_or(Ok(ZoneSet::ALL), zones_of)?,
            times,
            amount_minor: fare.amount_minor,
        })
    }

    fn offsets(&self) -> Result<Vec<OffsetChange>, TariffError> {
        let mut offsets = Vec::new();
        if let Some(text) = &self.utc_offset {
            offsets.push(OffsetChange {
                from: UnixTime(0),
                offset_s: offset_of(text)?,
            });
        }
        for change in &self.changes {
            offsets.push(OffsetChange {
                from: UnixTime(change.from),
                offset_s: offset_of(&change.utc_offset)?,
            });
        }
        Ok(offsets)
    }

    fn days(&self) -> Result<Vec<DayException>, TariffError> {
        let mut days = each(&self.days, |day| {
            Ok(DayException {
                date: date_of(&day.date)?,
                counts_as: day_of("counts_as", &day.counts_as)?,
            })
        })?;
        days.sort_by_key(|day| day.date);
        Ok(days)
    }
}

impl RawPeriod {
    fn window(&self) -> Result<TimeWindow, TariffError> {
        let mut days = Vec::new();
        for day in &self.days {
            days.push(day_of("days", day)?);
        }
        let (from_s, until_s) = (
            clock_of("from", &self.from)?,
            clock_of("until", &self.until)?,
        );
        if from_s >= until_s {
            return Err(value(
                "until",
                &self.until,
                "later than `from`; split it at 24:00",
            ));
        }
        Ok(TimeWindow {
            days: DaySet::of(&days),
            from_s,
            until_s,
        })
    }
}

impl RawFare {
    fn names(&self, period: &RawPeriod) -> bool {
        self.period.as_ref() == Some(&period.name)
    }
}

impl RawTransfer {
    fn check(&self) -> Result<TransferRule, TariffError> {
        let fare = match (self.fare, self.discount_minor) {
            (RawTransferFare::Free, None) => TransferFare::Free,
            (RawTransferFare::Difference, None) => TransferFare::Difference,
            (RawTransferFare::Discount, Some(minor)) => TransferFare::Discount(minor),
            (RawTransferFare::Discount, None) => {
                return Err(value("discount_minor", "", "what the discount takes off"));
            }
            (_, Some(minor)) => {
                let expected = "left out unless fare = \"discount\"";
                return Err(value("discount_minor", &minor.to_string(), expected));
            }
        };
        let transfer = Transfer {
            id: RuleId(self.rule),
            within_s: self.within_s,
            most: self.most,
            fare,
        };
        let classes = classes_of(&self.classes)?;
        Ok(TransferRule { classes, transfer })
    }
}

fn each<R, T>(
    raw: &[R],
    check: impl Fn(&R) -> Result<T, TariffError>,
) -> Result<Vec<T>, TariffError> {
    raw.iter().map(check).collect()
}

fn classes_of(classes: &[u8]) -> Result<ClassSet, TariffError> {
    let mut set = 0;
    for class in classes {
        match ClassSet::of(*class).0 {
            0 => return Err(value("classes", &class.to_string(), "a class of 0 to 31")),
            bit => set |= bit,
        }
    }
    Ok(ClassSet(set))
}

fn zones_of(zones: &[u8]) -> Result<ZoneSet, TariffError> {
    let mut found = Vec::new();
    for number in zones {
        let zone = Zone::new(*number);
        let expected = "a zone of 0 to 63, 0 for no zone";
        found.push(zone.ok_or_else(|| value("zones", &number.to_string(), expected))?);
    }
    Ok(ZoneSet::of(&found))
}
