use core::fmt;

use obol_credential::UnixTime;

use crate::{FarePack, LocalTime, PackId, RuleId, Transfer, Zone};

/// Who boards, where and when: all that a fare of one ride depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boarding {
    /// Fare class of the credential, 0..=31.
    pub class: u8,
    /// Where the terminal stands.
    pub zone: Zone,
    /// When the code was accepted.
    pub at: UnixTime,
}

/// What a ride costs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fare {
    /// The fare in minor units of the pack's currency.
    pub amount_minor: u32,
    /// The rule that set it.
    pub rule: RuleId,
    /// The pack the rule stands in.
    pub pack_id: PackId,
}

/// A ride's own fare, and what it may become as part of a journey: see [`crate::Journey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// When the rider boarded.
    pub at: UnixTime,
    /// The fare of the ride by itself. No transfer makes it more.
    pub fare: Fare,
    /// How riders of the class transfer, where they do.
    pub transfer: Option<Transfer>,
}

/// Why a ride has no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FareError {
    /// No rule fits: refusal code `FARE_UNKNOWN`.
    Unknown(Boarding),
}

impl fmt::Display for FareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FareError::Unknown(Boarding { class, zone, at }) = self;
        write!(f, "the fare pack has no fare for class {class} at {at}")?;
        if *zone != Zone::NONE {
            write!(f, " in zone {zone}")?;
        }
        Ok(())
    }
}

impl core::error::Error for FareError {}

/// Prices a ride: the first rule that fits, in the order of the pack.
///
/// The terminal and the platform call this same function; a difference between the two is a
/// difference of packs.
///
/// # Errors
/// [`FareError::Unknown`] outside the pack's time, or when no rule fits.
//= docs/spec/fare-pack.md#evaluation
pub fn price(pack: &FarePack, boarding: Boarding) -> Result<Quote, FareError> {
    let Boarding { class, zone, at } = boarding;
    let unknown = FareError::Unknown(boarding);
    if at < pack.valid_from() || pack.valid_until() < at {
        return Err(unknown);
    }
    let local = LocalTime::of(at, pack.offsets(), pack.days());
    let rule = pack.rules().iter().find(|rule| {
        rule.classes.holds(class)
            && rule.zones.holds(zone)
            && (rule.times.is_empty() || rule.times.iter().any(|window| window.holds(local)))
    });
    let rule = rule.ok_or(unknown)?;
    let transfers = pack.transfers().iter();
    let mut transfers = transfers.filter(|transfer| transfer.classes.holds(class));
    Ok(Quote {
        at,
        fare: Fare {
            amount_minor: rule.amount_minor,
            rule: rule.id,
            pack_id: pack.id(),
        },
        transfer: transfers.next().map(|rule| rule.transfer),
    })
}
