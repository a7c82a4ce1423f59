use core::ffi::c_char;

use obol_pos_sdk::{Freshness, Granted, HEALTH_MAX, Opening, Refusal, TEXT_MAX};

/// Bytes of a text that is looked at; the longest boarding code has 483.
pub const OBOL_POS_TEXT_MAX: usize = 1024;
const _: () = assert!(OBOL_POS_TEXT_MAX == TEXT_MAX);

/// Bytes of `rule`, the closing NUL among them.
pub const OBOL_POS_RULE_SIZE: usize = 96;

/// Bytes that suffice for every segment.
pub const OBOL_POS_SEGMENT_MAX: usize = 1_048_576;

/// Bytes that suffice for every health report, the closing NUL among them.
pub const OBOL_POS_HEALTH_SIZE: usize = 257;
const _: () = assert!(OBOL_POS_HEALTH_SIZE == HEALTH_MAX + 1);

/// What a scan led to. Where the gate is not to be opened, `rule` alone is meaningful and the rest
/// is zero.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolPosDecision {
    /// In: sizeof(obol_pos_decision), by which the library knows the caller's version of it.
    pub struct_size: u32,
    /// 1: a new ride. 2: a ride that was on disk before and whose gate is not known to have opened;
    /// nothing was written again. 0: the gate is not to be opened.
    pub opening: u32,
    /// The ride's number in the journal.
    pub seq: u64,
    /// When it was taken, seconds since 1970.
    pub accepted_at: u32,
    /// What it costs, minor units.
    pub fare_minor: u32,
    /// The fare pack's rule that says so.
    pub fare_rule: u32,
    /// Bit 0: the terminal's trust was stale. Bit 1: a companion's ride.
    pub flags: u32,
    /// The currency, three capital letters and a NUL; empty while no fare pack is loaded.
    pub currency: [c_char; 4],
    /// The rule that is broken, in words; empty when the gate is to be opened.
    pub rule: [c_char; OBOL_POS_RULE_SIZE],
}

/// How a terminal stands.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolPosStatus {
    /// In: sizeof(obol_pos_status).
    pub struct_size: u32,
    /// 0: trust is fresh. 1: degraded, a lower cap holds. 2: expired, nothing is taken.
    pub freshness: u32,
    /// The last ride in the journal; 0 for none.
    pub last_seq: u64,
    /// The last ride that the platform holds; 0 for none.
    pub watermark: u64,
    /// The time before which it cannot be, seconds since 1970.
    pub clock_floor: u32,
    /// Issuer keys with a table.
    pub prepared_keys: u32,
}

impl ObolPosDecision {
    pub(crate) fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            opening: 0,
            seq: 0,
            accepted_at: 0,
            fare_minor: 0,
            fare_rule: 0,
            flags: 0,
            currency: [0; 4],
            rule: [0; OBOL_POS_RULE_SIZE],
        }
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let mut decision = Self::empty();
        write_text(refusal.rule, &mut decision.rule);
        decision
    }

    pub(crate) fn open(ride: &Granted, why: Opening, currency: &str) -> Self {
        let record = ride.record();
        let mut decision = Self {
            opening: match why {
                Opening::Granted => 1,
                Opening::AlreadyPaid => 2,
            },
            seq: record.seq,
            accepted_at: record.accepted_at.0,
            fare_minor: record.fare.amount_minor,
            fare_rule: record.fare.rule.into(),
            flags: record.flags.into(),
            ..Self::empty()
        };
        write_text(currency, &mut decision.currency);
        decision
    }
}

pub(crate) const fn freshness(freshness: Freshness) -> u32 {
    match freshness {
        Freshness::Fresh => 0,
        Freshness::Degraded => 1,
        Freshness::Expired => 2,
    }
}

/// Copies as much of `text` as fits, never a part of a character, and always a NUL behind it.
pub(crate) fn write_text(text: &str, room: &mut [c_char]) {
    let Some(most) = room.len().checked_sub(1) else {
        return;
    };
    room.fill(0);
    let end = (0..=most.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    let bytes = text.bytes().take(end.unwrap_or(0));
    room.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from as c_char);
}
