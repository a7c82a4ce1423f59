use alloc::vec::Vec;
use core::fmt;

use obol_credential::{Malformed, UnixTime};
use sha2::{Digest, Sha256};

use crate::check::{PackRefused, check};
use crate::{DayException, FareRule, OffsetChange, TransferRule, codec};

/// The most fare rules of a pack.
pub const RULES_MAX: usize = 256;
/// The most time windows of a rule.
pub const WINDOWS_MAX: usize = 4;
/// The most changes of the offset from UTC: two a year for 32 years.
pub const OFFSETS_MAX: usize = 64;
/// The most exceptions of the calendar.
pub const DAYS_MAX: usize = 400;
/// The most transfer rules: one per fare class.
pub const TRANSFERS_MAX: usize = 32;

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

/// Everything a fare pack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// The currency of all its fares.
    pub currency: Currency,
    /// The first second at which it prices.
    pub valid_from: UnixTime,
    /// The last second at which it prices.
    pub valid_until: UnixTime,
    /// The fares, the first that fits counts; 1..=[`RULES_MAX`].
    pub rules: Vec<FareRule>,
    /// Local time, by ascending seconds; at most [`OFFSETS_MAX`], none where no rule has times.
    pub offsets: Vec<OffsetChange>,
    /// Days that are not what their weekday says, by ascending date; at most [`DAYS_MAX`].
    pub days: Vec<DayException>,
    /// Transfers, one rule for a class; at most [`TRANSFERS_MAX`].
    pub transfers: Vec<TransferRule>,
}

impl Tariff {
    /// Fares that depend on neither time nor journey.
    #[must_use]
    pub fn plain(
        currency: Currency,
        valid_from: UnixTime,
        valid_until: UnixTime,
        rules: Vec<FareRule>,
    ) -> Tariff {
        Tariff {
            currency,
            valid_from,
            valid_until,
            rules,
            offsets: Vec::new(),
            days: Vec::new(),
            transfers: Vec::new(),
        }
    }
}

/// A fare pack that has been checked, and the bytes that say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarePack {
    tariff: Tariff,
    bytes: Vec<u8>,
    id: PackId,
}

impl FarePack {
    /// Checks and encodes a pack, in the newest format.
    ///
    /// # Errors
    /// [`PackRefused`] names the rule of docs/spec/fare-pack.md that is broken.
    pub fn new(tariff: Tariff) -> Result<FarePack, PackRefused> {
        check(&tariff)?;
        let bytes = codec::encode(&tariff);
        Ok(FarePack::of_checked(tariff, bytes))
    }

    /// Reads a pack of either format, strictly: only the deterministic encoding is accepted.
    ///
    /// # Errors
    /// [`Malformed`] with the place and the rule of docs/spec/fare-pack.md.
    pub fn decode(bytes: &[u8]) -> Result<FarePack, Malformed> {
        let (tariff, rules_at) = codec::decode(bytes)?;
        check(&tariff).map_err(|_| Malformed {
            at: rules_at,
            rule: "rules that make no fare pack",
        })?;
        Ok(FarePack::of_checked(tariff, bytes.to_vec()))
    }

    fn of_checked(tariff: Tariff, bytes: Vec<u8>) -> FarePack {
        let digest = Sha256::digest(&bytes);
        let id = PackId(*digest.first_chunk().expect("SHA-256 has 32 bytes"));
        FarePack { tariff, bytes, id }
    }

    /// The currency of all its fares.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.tariff.currency
    }

    /// The first second at which it prices.
    #[must_use]
    pub const fn valid_from(&self) -> UnixTime {
        self.tariff.valid_from
    }

    /// The last second at which it prices.
    #[must_use]
    pub const fn valid_until(&self) -> UnixTime {
        self.tariff.valid_until
    }

    /// The fares, in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[FareRule] {
        &self.tariff.rules
    }

    /// What local time is, by ascending seconds.
    #[must_use]
    pub fn offsets(&self) -> &[OffsetChange] {
        &self.tariff.offsets
    }

    /// Days that are not what their weekday says, by ascending date.
    #[must_use]
    pub fn days(&self) -> &[DayException] {
        &self.tariff.days
    }

    /// How riders transfer.
    #[must_use]
    pub fn transfers(&self) -> &[TransferRule] {
        &self.tariff.transfers
    }

    /// The deterministic bytes of the pack.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of exactly these bytes.
    #[must_use]
    pub const fn id(&self) -> PackId {
        self.id
    }
}
