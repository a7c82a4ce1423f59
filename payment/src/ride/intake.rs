use obol_credential::{Malformed, UnixTime};
use obol_fare::{Boarding, Fare, FareError, FarePack, Quote, Zone, price};
use obol_tap::{Epoch, FLAG_COMPANION, TapRecord, TerminalName};
use obol_verifier_sdk::{CodeIdentity, Operator, Refusal, Verifier};

use super::{Party, RideKey};

/// How far a ride may lie in our future, in seconds: a terminal's clock that runs ahead.
pub const RIDE_FUTURE_S: u32 = 300;
/// How old a ride may be when it arrives, in seconds: 45 days.
pub const RIDE_HORIZON_S: u32 = 45 * 86_400;

/// What the platform holds a record against.
#[derive(Clone, Copy, Debug)]
pub struct Intake<'a> {
    /// The issuer keys to believe, and the operator of the terminal that sent the record.
    pub verifier: Verifier<'a>,
    /// The fare packs that were ever published to terminals.
    pub packs: &'a [FarePack],
    /// When the record arrived, by our clock: how old it was then is how old it counts.
    pub received_at: UnixTime,
    /// Our clock. Later than `received_at` when a stored record is examined again.
    pub now: UnixTime,
}

/// A ride that has been verified again, from its signed bytes. Only [`intake`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRide {
    key: RideKey,
    identity: CodeIdentity,
    counter: u32,
    operator: Operator,
    quote: Quote,
    party: Party,
}

/// Why a record is not charged. It is kept, and its place in the journal counts as received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RideRefusal {
    /// Not a tap record.
    #[error("MALFORMED: {0}")]
    Malformed(Malformed),
    /// The record names another terminal or place than the segment it came in.
    #[error("FOREIGN_RECORD: the record says {found}, the segment {expected}")]
    ForeignRecord {
        /// What the record says.
        found: RideKey,
        /// Where it stood.
        expected: RideKey,
    },
    /// The time is beyond [`RIDE_FUTURE_S`].
    #[error("CLOCK_FAULT: accepted at {accepted_at}, it is {now}")]
    FromTheFuture {
        /// The terminal's time.
        accepted_at: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// The time is beyond [`RIDE_HORIZON_S`].
    #[error("TOO_OLD: accepted at {accepted_at}, received at {received_at}")]
    TooOld {
        /// The terminal's time.
        accepted_at: UnixTime,
        /// Our clock.
        received_at: UnixTime,
    },
    /// The boarding code was not good at the time the record says.
    #[error("{code}: {rule}", code = .0.code, rule = .0.rule)]
    Code(Refusal),
    /// The record names a fare pack we never published.
    #[error("FARE_UNKNOWN: fare pack {0} was never published")]
    PackUnknown(obol_tap::PackId),
    /// The fare pack has no fare for this ride.
    #[error("FARE_UNKNOWN: {0}")]
    FareUnknown(FareError),
    /// The terminal charged what its own fare pack does not give on any journey.
    #[error(
        "FARE_MISMATCH: the terminal charged {charged} by rule {rule}, the ride's fare is {priced}"
    )]
    FareMismatch {
        /// What the record says, minor units.
        charged: u32,
        /// The rule it names.
        rule: u16,
        /// The ride's own fare, minor units.
        priced: u32,
    },
    /// The fare is above what the credential permits for one ride.
    #[error("CAP: the fare is {fare}, the credential permits {cap}")]
    AboveCap {
        /// The fare, minor units.
        fare: u32,
        /// The credential's cap, minor units.
        cap: u32,
    },
}

impl RideRefusal {
    /// The stable code: a refusal code of docs/spec/pt1.md, or one of intake's own.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            RideRefusal::Malformed(_) => "MALFORMED",
            RideRefusal::ForeignRecord { .. } => "FOREIGN_RECORD",
            RideRefusal::FromTheFuture { .. } => "CLOCK_FAULT",
            RideRefusal::TooOld { .. } => "TOO_OLD",
            RideRefusal::Code(refusal) => refusal.code.name(),
            RideRefusal::PackUnknown(_) | RideRefusal::FareUnknown(_) => "FARE_UNKNOWN",
            RideRefusal::FareMismatch { .. } => "FARE_MISMATCH",
            RideRefusal::AboveCap { .. } => "CAP",
        }
    }

    /// Whether a refusal with this code can pass by itself: a trust bundle, a fare pack or time
    /// mends it. The other codes speak of the record's own bytes.
    #[must_use]
    pub fn may_pass(code: &str) -> bool {
        matches!(
            code,
            "UNKNOWN_KEY" | "KEY_SUSPENDED" | "OUT_OF_SCOPE" | "FARE_UNKNOWN" | "CLOCK_FAULT"
        )
    }
}

/// Verifies a record again, suspiciously: form, place, time, both signatures, the code's window
/// at the time the terminal says, and the fare.
///
/// `key` is where the record stood in a signed segment; `bytes` are the record as signed.
///
/// # Errors
/// [`RideRefusal`] with the first check that failed.
pub fn intake(
    key: &RideKey,
    bytes: &[u8],
    rules: &Intake<'_>,
) -> Result<VerifiedRide, RideRefusal> {
    let record = TapRecord::decode(bytes).map_err(RideRefusal::Malformed)?;
    check_place(key, &record)?;
    check_time(record.accepted_at, rules)?;
    // With the terminal's time as "now" the verifier demands iat-S <= accepted_at <= iat+W+S.
    let verified = rules
        .verifier
        .verify(&record.presentation, record.accepted_at)
        .map_err(RideRefusal::Code)?;
    let terms = verified.claims().fare;
    let quote = check_fare(&record, terms.class, rules.packs)?;
    if quote.fare.amount_minor > terms.cap_minor {
        return Err(RideRefusal::AboveCap {
            fare: quote.fare.amount_minor,
            cap: terms.cap_minor,
        });
    }
    Ok(VerifiedRide {
        key: key.clone(),
        identity: verified.identity(),
        counter: verified.dynamic().counter,
        operator: rules.verifier.operator,
        quote,
        party: Party::of(record.flags & FLAG_COMPANION),
    })
}

fn check_place(key: &RideKey, record: &TapRecord) -> Result<(), RideRefusal> {
    if record.terminal != key.terminal || record.seq != key.seq {
        let (terminal, epoch, seq) = (record.terminal.clone(), key.epoch, record.seq);
        let found = RideKey {
            terminal,
            epoch,
            seq,
        };
        return Err(RideRefusal::ForeignRecord {
            found,
            expected: key.clone(),
        });
    }
    Ok(())
}

fn check_time(accepted_at: UnixTime, rules: &Intake<'_>) -> Result<(), RideRefusal> {
    let (received_at, now) = (rules.received_at, rules.now);
    if accepted_at > now.plus(RIDE_FUTURE_S) {
        return Err(RideRefusal::FromTheFuture { accepted_at, now });
    }
    if accepted_at < received_at.minus(RIDE_HORIZON_S) {
        return Err(RideRefusal::TooOld {
            accepted_at,
            received_at,
        });
    }
    Ok(())
}

/// The ride's own fare. What the terminal charged must be that, or what a transfer may make of it;
/// whether it was a transfer, all rides of the account say.
fn check_fare(record: &TapRecord, class: u8, packs: &[FarePack]) -> Result<Quote, RideRefusal> {
    let charged = record.fare;
    let pack = packs
        .iter()
        .find(|pack| pack.id().0 == charged.pack_id.0)
        .ok_or(RideRefusal::PackUnknown(charged.pack_id))?;
    let boarding = Boarding {
        class,
        zone: record.zone.and_then(Zone::new).unwrap_or(Zone::NONE),
        at: record.accepted_at,
    };
    let quote = price(pack, boarding).map_err(RideRefusal::FareUnknown)?;
    let own = quote.fare;
    let by_itself = (own.rule.0, own.amount_minor) == (charged.rule, charged.amount_minor);
    let by_transfer = quote.transfer.is_some_and(|transfer| {
        let may_be = transfer.fare.may_be(charged.amount_minor, own.amount_minor);
        transfer.id.0 == charged.rule && may_be
    });
    if by_itself || by_transfer {
        return Ok(quote);
    }
    Err(RideRefusal::FareMismatch {
        charged: charged.amount_minor,
        rule: charged.rule,
        priced: own.amount_minor,
    })
}

impl VerifiedRide {
    /// The terminal that took the code.
    #[must_use]
    pub fn terminal(&self) -> &TerminalName {
        &self.key.terminal
    }

    /// The terminal's journal.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.key.epoch
    }

    /// The business key.
    #[must_use]
    pub const fn key(&self) -> &RideKey {
        &self.key
    }

    /// What tells the code from every other.
    #[must_use]
    pub const fn identity(&self) -> CodeIdentity {
        self.identity
    }

    /// The code's use counter.
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }

    /// The operator that carried the passenger.
    #[must_use]
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The ride's own fare, by the platform's own reckoning, and what a journey may make of it.
    #[must_use]
    pub const fn quote(&self) -> Quote {
        self.quote
    }

    /// The ride's own fare.
    #[must_use]
    pub const fn fare(&self) -> Fare {
        self.quote.fare
    }

    /// Whom it carried.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.party
    }

    /// When the terminal accepted the code.
    #[must_use]
    pub const fn accepted_at(&self) -> UnixTime {
        self.quote.at
    }
}
