use alloc::vec::Vec;
use core::fmt;

use obol_credential::UnixTime;
use sha2::{Digest, Sha256};

use crate::codec;

/// The most rules a pack may carry: one per fare class.
pub const RULES_MAX: usize = 32;

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The currency with this code, `None` unless it is three letters A to Z.
    #[must_use]
    pub fn new(code: &str) -> Option<Currency> {
        let letters: [u8; 3] = code.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_uppercase)
            .then_some(Currency(letters))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("three ASCII letters")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The number of a rule, unique in its pack. It travels in each tap, so that anybody can later
/// say why a ride cost what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

/// The first 8 bytes of the SHA-256 of a pack's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub [u8; 8]);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackId({self})")
    }
}

/// One flat fare: passengers of `class` pay `amount_minor` for a ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareRule {
    /// Number of the rule.
    pub id: RuleId,
    /// Fare class of the credential, 0..=31.
    pub class: u8,
    /// The fare in minor units, from 0 on.
    pub amount_minor: u32,
}

/// A fare pack that has been checked, and the bytes that say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarePack {
    currency: Currency,
    valid_from: UnixTime,
    valid_until: UnixTime,
    rules: Vec<FareRule>,
    bytes: Vec<u8>,
}

/// Why rules do not make a pack.
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
    /// A class from 32 on.
    Class(u8),
    /// Two rules for one class, or rules not sorted by class.
    ClassOrder(u8),
    /// Two rules with one number.
    RuleTwice(RuleId),
}

impl fmt::Display for PackRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackRefused::Empty { from, until } => {
                write!(f, "valid_until {until} lies before valid_from {from}")
            }
            PackRefused::RuleCount(count) => {
                write!(f, "a fare pack has 1 to {RULES_MAX} rules, not {count}")
            }
            PackRefused::Class(class) => write!(f, "fare class {class} is not within 0 to 31"),
            PackRefused::ClassOrder(class) => {
                write!(f, "the rule of class {class} stands twice or out of order")
            }
            PackRefused::RuleTwice(id) => write!(f, "rule {} stands twice", id.0),
        }
    }
}

impl core::error::Error for PackRefused {}

impl FarePack {
    /// Checks and encodes a pack. It is valid from `valid_from` to `valid_until`, both seconds
    /// included; `rules` are sorted by class, one per class.
    ///
    /// # Errors
    /// [`PackRefused`] names the rule of docs/spec/fare-pack.md that is broken.
    pub fn new(
        currency: Currency,
        valid_from: UnixTime,
        valid_until: UnixTime,
        rules: Vec<FareRule>,
    ) -> Result<FarePack, PackRefused> {
        if valid_until < valid_from {
            return Err(PackRefused::Empty {
                from: valid_from,
                until: valid_until,
            });
        }
        check_rules(&rules)?;
        let bytes = codec::encode(currency, valid_from, valid_until, &rules);
        Ok(FarePack {
            currency,
            valid_from,
            valid_until,
            rules,
            bytes,
        })
    }

    /// The currency of all its fares.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// The first second at which it prices.
    #[must_use]
    pub const fn valid_from(&self) -> UnixTime {
        self.valid_from
    }

    /// The last second at which it prices.
    #[must_use]
    pub const fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// The rules, sorted by class.
    #[must_use]
    pub fn rules(&self) -> &[FareRule] {
        &self.rules
    }

    /// The deterministic bytes of the pack.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of exactly these bytes.
    #[must_use]
    pub fn id(&self) -> PackId {
        let digest = Sha256::digest(&self.bytes);
        PackId(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

fn check_rules(rules: &[FareRule]) -> Result<(), PackRefused> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(PackRefused::RuleCount(rules.len()));
    }
    for (position, rule) in rules.iter().enumerate() {
        if rule.class > 31 {
            return Err(PackRefused::Class(rule.class));
        }
        let before = &rules[..position];
        if before.last().is_some_and(|last| last.class >= rule.class) {
            return Err(PackRefused::ClassOrder(rule.class));
        }
        if before.iter().any(|other| other.id == rule.id) {
            return Err(PackRefused::RuleTwice(rule.id));
        }
    }
    Ok(())
}
